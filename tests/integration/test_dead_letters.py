"""Dead letters are published again, each once, whatever becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.segmenter import replay
from services.segmenter.batch import Batches, process_or_split
from services.segmenter.connection import connect
from shared.kafka import Topic
from shared.settings import SegmenterSettings
from tests.segmenter import consume, organize
from tests.till import NOW, records, sale


@pytest.fixture
def chosen(settings: Callable[..., Any]) -> SegmenterSettings:
    made: SegmenterSettings = settings(SegmenterSettings)
    organize(made)
    return made


@pytest.fixture
def batches(chosen: SegmenterSettings) -> Iterator[Batches]:
    with connect(chosen.database) as connection:
        yield Batches(connection, "crm.mail.v1", lambda: NOW)


def test_a_replay_ends_though_what_is_still_wrong_comes_back_meanwhile(
    chosen: SegmenterSettings, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [sale(n, "c-1", 100, currency="USD" if n else "EUR") for n in range(3)]
    for each in events:
        each["data"]["organization_id"] = "later"
    process_or_split(batches, records(events, chosen.topic_prefix))
    batches.connection.execute(
        "INSERT INTO organization (organization_id, name, currency, time_zone) VALUES ('later', 'Later', 'USD', 'UTC')"
    )
    monkeypatch.setattr(replay, "AT_ONCE", 1)
    taken = 0

    def take(_: int) -> None:
        """As the segmenter, which is faster than the replay."""
        nonlocal taken
        found = consume(chosen, Topic.SALES)
        process_or_split(batches, found[taken:])  # type: ignore[arg-type]
        taken = len(found)

    all_of_them = replay.chosen(None, None)
    assert replay.replay(chosen, all_of_them, take) == len(events)
    assert replay.counts(chosen, all_of_them) == {"wrong_currency": 1}
    assert replay.replay(chosen, all_of_them, take) == 1
    assert taken == len(events) + 1
    stats = batches.connection.execute("SELECT customer_id, total_spent, visit_count FROM customer").fetchall()
    assert stats == [("c-1", 200, 2)]

"""The sender over SMTP: every mail by itself, and no more in doubt after a crash than what no answer had come for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from services.mailer.provider import Mails, Outcome, Taken
from services.mailer.smtp_line import server_of
from services.mailer.smtp_provider import SmtpProvider
from shared.database.tables import campaign, message
from tests.desk import Desk
from tests.mailing import NOON, add_campaign, add_people, campaign_state, organize, person, states
from tests.smtp_sink import SmtpSink, smtp_sink

CONNECTIONS = 4


@pytest.fixture
def inbox() -> Iterator[SmtpSink]:
    with smtp_sink() as running:
        yield running


@pytest.fixture
def provider(inbox: SmtpSink) -> Iterator[SmtpProvider]:
    made = SmtpProvider(server_of(inbox.url, "off"), CONNECTIONS)
    yield made
    made.close()


class Dies(BaseException):
    """As if the process were killed."""


class Watched:
    """Lets `seen` look at each note before and after it is written."""

    def __init__(self, provider: SmtpProvider, seen: Callable[[str], None]) -> None:
        self._provider = provider
        self._seen = seen

    def send_batch(self, mails: Mails, idempotency_key: str, taken: Taken) -> Outcome:
        def noted(positions: Sequence[int]) -> bool:
            self._seen("before")
            goes_on = taken(positions)
            self._seen("after")
            return goes_on

        return self._provider.send_batch(mails, idempotency_key, noted)


def prepare(store: Engine, *customers: str) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(each) for each in customers])
        add_campaign(connection)


def test_each_mail_ends_by_its_own_answer(store: Engine, inbox: SmtpSink, provider: SmtpProvider) -> None:
    prepare(store, "a", "full-1", "gone-1", "z")
    desk = Desk(store, provider)
    again = desk.run()
    assert states(store) == {
        "a": ("sent", None),
        "z": ("sent", None),
        "gone-1": ("failed", "provider_refused"),
        "full-1": ("waiting", "try_again"),
    }
    assert desk.now + timedelta(seconds=29) < again <= desk.now + timedelta(seconds=60)
    inbox.mails.clear()
    desk.wait(timedelta(seconds=61))
    desk.run()
    with store.connect() as connection:
        row = connection.execute(select(message).where(message.c.customer_id == "full-1")).one()
    assert (row.attempts, row.detail, inbox.mails) == (2, "452 4.2.2 mailbox full", [])
    assert timedelta(seconds=59) < row.wait_until - desk.now <= timedelta(seconds=120)
    desk.wait(timedelta(hours=80))
    desk.run()
    assert states(store)["full-1"] == ("skipped", "expired")
    assert campaign_state(store) == "sent"


@pytest.mark.parametrize(("moment", "twice"), [("before", CONNECTIONS), ("after", 0)])
def test_after_a_crash_only_what_was_not_noted_goes_again(
    store: Engine, inbox: SmtpSink, provider: SmtpProvider, moment: str, twice: int
) -> None:
    people = [f"c{n:02}" for n in range(30)]
    prepare(store, *people)
    notes = 0

    def seen(when: str) -> None:
        nonlocal notes
        notes += when == "before"
        if notes == 3 and when == moment:
            raise Dies

    desk = Desk(store, Watched(provider, seen))
    desk.plan()
    with pytest.raises(Dies):
        desk.step()
    provider.close()
    before = inbox.recipients()
    assert len(before) == 3 * CONNECTIONS
    Desk(store, provider).run()
    assert set(states(store).values()) == {("sent", None)}
    counts = Counter(inbox.recipients())
    assert set(counts) == {f"{each}@example.com" for each in people}
    doubled = {to for to, times in counts.items() if times > 1}
    assert (len(doubled), doubled <= set(before[-CONNECTIONS:])) == (twice, True)
    ids = {(kept.to, kept.parsed["Message-ID"]) for kept in inbox.mails}
    assert len(ids) == 30


def test_a_mailer_whose_clock_jumps_takes_no_batch_that_another_is_sending(
    store: Engine, inbox: SmtpSink, provider: SmtpProvider
) -> None:
    people = [f"c{n:02}" for n in range(30)]
    prepare(store, *people)
    others = SmtpProvider(server_of(inbox.url, "off"), CONNECTIONS)
    steps = 0

    def seen(when: str) -> None:
        nonlocal steps
        if when == "before" and steps < 2:  # the first mails are out, and not noted yet
            steps += 1
            days = (timedelta(days=2), -timedelta(days=2))[steps - 1]
            Desk(store, others, now=NOON + days, owner="mailer-1").step()

    Desk(store, Watched(provider, seen)).run()
    others.close()
    assert steps == 2
    assert Counter(inbox.recipients()) == Counter(f"{each}@example.com" for each in people)


def test_a_pause_acts_in_the_middle_of_a_batch(store: Engine, inbox: SmtpSink, provider: SmtpProvider) -> None:
    people = [f"c{n:02}" for n in range(40)]
    prepare(store, *people)

    def seen(when: str) -> None:
        if when == "before" and campaign_state(store) == "sending":
            with store.begin() as connection:
                connection.execute(update(campaign).values(state="paused"))

    desk = Desk(store, Watched(provider, seen))
    desk.run()
    assert len(inbox.mails) == CONNECTIONS
    assert Counter(states(store).values()) == Counter({("sent", None): CONNECTIONS, ("planned", None): 36})
    with store.begin() as connection:
        connection.execute(update(campaign).values(state="sending"))
    Desk(store, provider).run()
    assert Counter(inbox.recipients()) == Counter(f"{each}@example.com" for each in people)


def test_a_cancelled_batch_keeps_what_had_gone(store: Engine, inbox: SmtpSink, provider: SmtpProvider) -> None:
    prepare(store, *[f"c{n:02}" for n in range(20)])

    def seen(when: str) -> Any:
        if when == "after":
            raise Dies

    desk = Desk(store, Watched(provider, seen))
    desk.plan()
    with pytest.raises(Dies):
        desk.step()
    with store.begin() as connection:
        connection.execute(update(campaign).values(state="cancelled"))
    desk.wait(timedelta(minutes=2))
    desk.plan()
    assert Counter(states(store).values()) == Counter({("sent", None): CONNECTIONS, ("skipped", "cancelled"): 16})
    assert len(inbox.mails) == CONNECTIONS

"""What the relay writes from templates is what the events themselves would write."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.changes import Change, listed, tell
from shared.domain.event_types import SegmentChangeData
from shared.domain.events import SegmentEntered, SegmentLeft, decode

NOW = datetime(2026, 11, 24, 12, 30, 15, 120, UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(name=TEXT, customer_id=TEXT, number=st.integers(1, 2**63 - 1))
def test_a_template_gives_the_bytes_of_the_event(name: str, customer_id: str, number: int) -> None:
    change = Change(number, customer_id, NOW, "time", entered="{new}", left="{vip}")
    told = tell("demo", [change], {"vip": name, "new": "100 % new"})
    expected = []
    for kind, word, segment_id, title in (
        (SegmentLeft, "left", "vip", name),
        (SegmentEntered, "entered", "new", "100 % new"),
    ):
        data = SegmentChangeData(
            organization_id="demo",
            customer_id=customer_id,
            segment_id=segment_id,
            segment_name=title,
            cause="time",
            at=NOW,
        )
        event = kind(
            specversion="1.0", id=f"{number}-{word}-{segment_id}", source="/demo/segmenter", time=NOW, data=data
        )
        expected.append((f"demo/{customer_id}".encode(), msgspec.json.encode(event)))
    assert told == expected


def test_what_the_relay_writes_can_be_read() -> None:
    told = tell("demo", [Change(1, "c-1", NOW, "event", "{vip}", "{}")], {"vip": "VIP"})
    assert isinstance(decode(told[0][1], NOW), SegmentEntered)


def test_lists_are_read_as_postgresql_writes_them() -> None:
    assert (listed("{}"), listed("{vip}"), listed("{vip,new-2}")) == ((), ("vip",), ("vip", "new-2"))
    # It quotes what would read as a null.
    assert listed('{"null",a}') == ("null", "a")

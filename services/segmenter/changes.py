"""Membership changes as events: rows of the outbox to what stands in crm.segments.v1.

A change of one segment differs from another one in its customer, its instant, its cause and its number only, so each
segment has a template in which the rest stands ready. A test holds what comes out equal to the event's own encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import msgspec

from shared.domain.events import SegmentEntered, SegmentLeft

WORDS = {"left": SegmentLeft, "entered": SegmentEntered}


class Change(NamedTuple):
    """A row of the outbox: bit n of `entered` and `left` is the segment of slot n."""

    outbox_id: int
    customer_id: str
    at: datetime
    cause: str
    entered: bytes
    left: bytes


class Told(NamedTuple):
    """What Kafka is to hold, (key, value) in order, and for each change the ids of the segments entered and left."""

    messages: list[tuple[bytes, bytes]]
    entered: list[str]
    left: list[str]


def tell(organization_id: str, changes: Sequence[Change], segments: Mapping[int, tuple[str, str]]) -> Told:
    """The events of an organization's changes. `segments`: id and name by slot."""
    told = Told([], [], [])
    templates = {
        (word, slot): _template(organization_id, word, segment_id, name)
        for slot, (segment_id, name) in segments.items()
        for word in WORDS
    }
    for outbox_id, customer_id, at, cause, entered, left in changes:
        key = f"{organization_id}/{customer_id}".encode()
        values = (outbox_id, _json(at), _json(customer_id), cause.encode(), _json(at))
        for word, bits, ids in (("left", left, told.left), ("entered", entered, told.entered)):
            found = slots(bits)
            told.messages.extend((key, templates[word, slot] % values) for slot in found)
            ids.append(" ".join([segments[slot][0] for slot in found]))
    return told


@cache
def slots(bits: bytes) -> tuple[int, ...]:
    """The bits that are set."""
    return tuple(place * 8 + bit for place, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1)


def _json(value: str | datetime) -> bytes:
    return msgspec.json.encode(value)


@cache
def _template(organization_id: str, word: str, segment_id: str, name: str) -> bytes:
    """Wants the change's number, instant, customer, cause and instant again; all but number and cause as JSON."""
    event = {
        "type": WORDS[word].__struct_config__.tag,
        "specversion": "1.0",
        "id": f"\0-{word}-{segment_id}",
        "source": f"/{organization_id}/segmenter",
        "time": "\0",
        "data": {
            "organization_id": organization_id,
            "customer_id": "\0",
            "segment_id": segment_id,
            "segment_name": name,
            "cause": "\0",
            "at": "\0",
        },
    }
    head, number, time, customer, cause, at = msgspec.json.encode(event).replace(b"%", b"%%").split(b"\\u0000")
    # The quotes of what is JSON already come with it.
    return b"".join([
        head, b"%d", number.removesuffix(b'"'), b"%s", time.removeprefix(b'"').removesuffix(b'"'), b"%s",
        customer.removeprefix(b'"'), b"%s", cause.removesuffix(b'"'), b"%s", at.removeprefix(b'"'),
    ])  # fmt: skip

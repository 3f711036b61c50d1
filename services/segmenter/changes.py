"""Membership changes as events: rows of the history to what stands in crm.segments.v1.

A change of one segment differs from another one in its customer, its instant, its cause and its number only, so each
segment has a template in which the rest stands ready. A test holds what comes out equal to the event's own encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from shared.domain.events import SegmentEntered, SegmentLeft

EMPTY = 2  # braces
WORDS = {"left": SegmentLeft, "entered": SegmentEntered}


class Change(NamedTuple):
    """A row of segment_change; the lists of segment ids as PostgreSQL writes them."""

    change_id: int
    customer_id: str
    at: datetime
    cause: str
    entered: str
    left: str


def tell(organization_id: str, changes: Sequence[Change], names: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """What Kafka is to hold, (key, value) in order. `names`: of segments, by id."""
    messages: list[tuple[bytes, bytes]] = []
    leaving, entering = (_Templates(organization_id, word, names) for word in ("left", "entered"))
    said, instant = None, b""
    for change_id, customer_id, at, cause, entered, left in changes:
        if at is not said:
            said, instant = at, _json(at)
        key = f"{organization_id}/{customer_id}".encode()
        values = (change_id, instant, _json(customer_id), cause.encode(), instant)
        messages += [(key, template % values) for template in (*leaving[left], *entering[entered])]
    return messages


class _Templates(dict[str, tuple[bytes, ...]]):
    """The templates of lists of segments, by the list."""

    def __init__(self, organization_id: str, word: str, names: Mapping[str, str]) -> None:
        self._organization_id = organization_id
        self._word = word
        self._names = names

    def __missing__(self, ids: str) -> tuple[bytes, ...]:
        found = tuple(
            _template(self._organization_id, self._word, segment_id, self._names.get(segment_id, segment_id))
            for segment_id in listed(ids)
        )
        self[ids] = found
        return found


def listed(ids: str) -> tuple[str, ...]:
    """The elements of a text[] in PostgreSQL's words; segments' ids hold letters, digits and hyphens."""
    return tuple(ids[1:-1].replace('"', "").split(",")) if len(ids) > EMPTY else ()


def _json(value: str | datetime) -> bytes:
    return msgspec.json.encode(value)


@lru_cache(10_000)
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

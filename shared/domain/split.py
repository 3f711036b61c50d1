"""A request's body into its events, each in its original bytes."""

from __future__ import annotations

import re

import msgspec

from shared.domain.reasons import Reason
from shared.errors import InvalidError

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
_DEPTH = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


def split_batch(raw: bytes, content_type: str) -> list[bytes]:
    """Part a body that holds one JSON object, a JSON array or, by its content type, one event a line.

    Elements are not judged here, so a bad one spoils none of its neighbours. Raises InvalidError for an empty body and
    for an array that cannot be told apart.
    """
    if content_type.partition(";")[0].strip().lower() in _LINES:
        events = [line for line in (line.strip() for line in raw.split(b"\n")) if line]
    elif raw.lstrip()[:1] == b"[":
        try:
            events = [bytes(element) for element in _ARRAY.decode(raw)]
        except (msgspec.MsgspecError, RecursionError) as error:
            events = _by_marks(raw.strip())
            if events:
                return events
            raise InvalidError(
                f"must be a JSON array of events: {error}. One event a line (application/x-ndjson) keeps "
                "the good ones apart from the bad",
                code=Reason.INVALID_JSON,
            ) from None
    else:
        events = [raw] if raw.strip() else []
    if not events:
        raise InvalidError("must hold at least one event", code=Reason.INVALID_JSON)
    return events


def _by_marks(raw: bytes) -> list[bytes]:
    """Part an array by its strings, brackets and commas alone; empty where they do not fit.

    For arrays that no decoder takes because of what one element holds: `NaN`, half a surrogate, endless nesting.
    """
    elements, start, depth = [], 1, 0
    for mark in _MARKS.finditer(raw):
        at, character = mark.start(), mark[0]
        depth += _DEPTH.get(character, 0)
        if (depth == 1 and character == b",") or depth == 0:
            elements.append(raw[start:at].strip())
            start = at + 1
        if depth == 0:
            break
    return elements if depth == 0 and start == len(raw) and all(elements) else []

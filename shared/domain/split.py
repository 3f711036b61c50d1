"""A request's body into its events, each in its original bytes."""

from __future__ import annotations

import msgspec

from shared.domain.reasons import Reason
from shared.errors import InvalidError

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
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

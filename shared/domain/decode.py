"""From bytes to an event, or to the reason why not: the one door through which ingest and segmenter read events.

msgspec reads what is plain and right, four times as fast as pydantic. What it refuses, or must not judge alone, goes to
the pydantic models: they are the authority, and their messages name the field and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast, get_args

import msgspec
import pydantic
from pydantic_core import from_json

from shared.domain.event_fields import EARLIEST
from shared.domain.event_models import MODELS
from shared.domain.event_types import (
    CouponEvent,
    CustomerConsentChanged,
    CustomerErased,
    CustomerMerged,
    Event,
    MailEvent,
    SaleCompleted,
    SaleEvent,
    SegmentEvent,
    TillEvent,
)
from shared.domain.reasons import Reason
from shared.errors import InvalidError
from shared.wording import shown

MAX_EVENT_BYTES = 1_000_000
FUTURE = timedelta(hours=24)
LONGEST_ID = 256

# customer.upserted is in neither: a calendar day or a time zone is nothing that msgspec can judge.
_TILL = msgspec.json.Decoder(SaleEvent | CouponEvent | CustomerConsentChanged | CustomerMerged | CustomerErased)
_ANY = msgspec.json.Decoder(
    SaleEvent | CouponEvent | CustomerConsentChanged | CustomerMerged | CustomerErased | SegmentEvent | MailEvent
)
# By type: given the whole union, msgspec.convert resolves all its structs at each call.
_STRUCTS = {struct.__struct_config__.tag: struct for struct in get_args(Event)}
# Resolved here, once: threads that resolve a struct at the same time, when its first events come, crash in msgspec.
_RESOLVED = [msgspec.json.Decoder(struct) for struct in _STRUCTS.values()]
TILL_TYPES = tuple(kind for kind in MODELS if kind.startswith(("sale.", "coupon.", "customer.")))
# Control characters: as escapes, as DEL, as C1 in UTF-8. (As themselves, JSON forbids the others.)
_ESCAPED_CONTROL = re.compile(rb"\\(?:[bfnrt]|u00[0189]|u007[fF])")
_C1_CONTROL = re.compile(rb"\xc2[\x80-\x9f]")


class _Named(msgspec.Struct):
    id: str | None = None


_NAMED = msgspec.json.Decoder(_Named)


def id_of(raw: bytes) -> str | None:
    """The id of an event that is not judged, for answers and logs; None where none can be read."""
    try:
        named = _NAMED.decode(raw).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return named and named[:LONGEST_ID]


def decode(raw: bytes, now: datetime) -> Event:
    """Read the event that `raw` holds: structured CloudEvents 1.0 JSON of one of the known types.

    Raises InvalidError with one of the codes of `Reason` and, as `field`, a path such as `data.lines[2].total`.
    """
    return _read(raw, now, _ANY, tuple(MODELS))


def decode_till(raw: bytes, now: datetime) -> TillEvent:
    """Read an event as `decode` does, and refuse what no till may say (`segment.*`, `mail.*`) as an unknown type."""
    return cast("TillEvent", _read(raw, now, _TILL, TILL_TYPES))


def _read(raw: bytes, now: datetime, fast: msgspec.json.Decoder[Any], kinds: tuple[str, ...]) -> Event:
    if len(raw) > MAX_EVENT_BYTES:
        raise InvalidError(
            f"must be at most {MAX_EVENT_BYTES:,} bytes; got {len(raw):,}. Split it or leave out what is not needed",
            code=Reason.TOO_LARGE,
        )
    event = _by_fast_path(raw, fast) or _by_authority(raw, kinds)
    _check(event, now)
    return event


def _by_fast_path(raw: bytes, fast: msgspec.json.Decoder[Any]) -> Event | None:
    """Read what msgspec can judge; None leaves the event to the authority."""
    if not is_plain(raw):
        return None
    try:
        event: Event = fast.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return event


def is_plain(raw: bytes) -> bool:
    """Tell whether msgspec may judge alone: no control characters, and UTF-8 also in what it skips unread."""
    if (b"\\" in raw and _ESCAPED_CONTROL.search(raw)) or b"\x7f" in raw:
        return False
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return _C1_CONTROL.search(raw) is None


def _by_authority(raw: bytes, kinds: tuple[str, ...] = tuple(MODELS)) -> Event:
    """Read an event by its pydantic model, before the checks that hold between fields."""
    given = _parse(raw)
    if "specversion" in given and given["specversion"] != "1.0":
        raise InvalidError(
            f'must be "1.0"; got {shown(given["specversion"])}', "specversion", Reason.UNSUPPORTED_SPECVERSION
        )
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in kinds:
        code = Reason.UNKNOWN_TYPE if isinstance(kind, str) else Reason.INVALID_FIELD
        raise InvalidError(f"must be one of {', '.join(kinds)}; got {shown(kind)}", "type", code)
    try:
        model = MODELS[kind].model_validate(given)
    except pydantic.ValidationError as error:
        raise _refusal(kind, error) from None
    event: Event = msgspec.convert(model.model_dump(exclude_unset=True), _STRUCTS[kind])
    return event


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"must be UTF-8; byte {error.start} is not. Encode the event as UTF-8 before sending it",
            code=Reason.INVALID_UTF8,
        ) from None
    try:
        given = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        lines = ". Over HTTP, one event a line needs the content type application/x-ndjson"
        hint = lines if "trailing characters" in str(error) else ""
        raise InvalidError(f"must be JSON: {error}{hint}", code=Reason.INVALID_JSON) from None
    if not isinstance(given, dict):
        raise InvalidError(f"must be one JSON object; got {shown(given)}", code=Reason.INVALID_JSON)
    # Also where no model looks: PostgreSQL stores no NUL, wherever it stands.
    if (
        b"\\u0000" in raw
        and (path := next((path for path, text in _texts(given, "") if "\0" in text), None)) is not None
    ):
        raise InvalidError("must not hold a NUL character (\\u0000): leave it out", path, Reason.INVALID_FIELD)
    return given


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, keys included, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from _texts(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")


def _check(event: Event, now: datetime) -> None:
    """Refuse what no single field shows, whichever way the event was read."""
    if event.time > now + FUTURE:
        raise InvalidError(
            f"must be at most 24 hours ahead; got {event.time.isoformat()} at {now.isoformat()}. "
            "Check the terminal's clock and time zone",
            "time",
            Reason.FUTURE_TIME,
        )
    if event.time < EARLIEST:
        raise InvalidError(
            f"must not be before 1970; got {event.time.isoformat()}. Check the terminal's clock",
            "time",
            Reason.INVALID_FIELD,
        )
    if isinstance(event, SaleCompleted):
        _check_lines(event)
    elif isinstance(event, CustomerMerged) and event.data.customer_id == event.data.into_customer_id:
        raise InvalidError(
            "must be another customer than customer_id: nobody merges into themselves",
            "data.into_customer_id",
            Reason.INVALID_FIELD,
        )


def _check_lines(sale: SaleCompleted) -> None:
    data = sale.data
    if not data.lines:
        return
    expected = sum([line.total for line in data.lines]) - data.discount
    if expected != data.total:
        raise InvalidError(
            f"must be the lines' totals less the discount, {expected}; got {data.total}",
            "data.total",
            Reason.LINES_TOTAL,
        )


def _refusal(kind: str, error: pydantic.ValidationError) -> InvalidError:
    """Say the first thing that is wrong in words that tell what is wanted."""
    first = error.errors(include_url=False, include_context=False)[0]
    wanted = _wanted(kind, first["loc"])
    message = (
        f"is missing: give {wanted}" if first["type"] == "missing" else f"must be {wanted}; got {shown(first['input'])}"
    )
    return InvalidError(message, _path(first["loc"]), Reason.INVALID_FIELD)


def _path(location: tuple[int | str, ...]) -> str:
    """`data.lines[2].total` of ("data", "lines", 2, "total")."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(".")


@cache
def _schema(kind: str) -> dict[str, Any]:
    return MODELS[kind].model_json_schema()


def _wanted(kind: str, location: tuple[int | str, ...]) -> str:
    """Describe a field in the words of `schemas/events`."""
    schema = _schema(kind)
    node = schema
    for step in location:
        inner = node["items"] if isinstance(step, int) else node["properties"][step]
        # A field that may be null says what it may be otherwise.
        node = next((option for option in inner.get("anyOf", ()) if option.get("type") != "null"), inner)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return "an object" if node.get("type") == "object" else str(node["description"])

"""What comes in: request bodies with a limit, decoded against a type."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from services.local.sandbox.answer import RefusedError, invalid

LARGEST = 40_000_000  # Resend's limit for one mail with its attachments

_IN_JSON = {"str": "`string`", "int": "`number`", "float": "`number`", "bool": "`boolean`"}
_TYPES = re.compile(f"`({'|'.join(_IN_JSON)})`")

T = TypeVar("T")


async def read(request: Request) -> bytes:
    """The body; refused with 413 as soon as it grows past the limit, before it fills the memory."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise RefusedError(
                413, "validation_error", f"The body is larger than {LARGEST:,} bytes. Send smaller batches."
            )
    return bytes(body)


def decode(raw: bytes | msgspec.Raw, kind: type[T] | Any) -> T:
    """JSON as `kind`; the refusal names the field and what was expected there."""
    try:
        value: T = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        expected, _, path = _TYPES.sub(lambda found: _IN_JSON[found[1]], str(error)).partition(" - at ")
        field = path.strip("`").removeprefix("$").removeprefix(".")
        raise invalid(f"Invalid `{field}` field. {expected}." if field else f"{expected}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, "validation_error", f"The body is not JSON: {error}.") from error
    return value

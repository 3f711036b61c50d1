"""Lists in pages: a cursor holds the keys of the last item, so that a page costs the same however far one reads."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from shared.errors import InvalidError

MOST = 500
T = TypeVar("T", bound=BaseModel)

Limit = Annotated[int, Query(ge=1, le=MOST, description="Most items of this page.")]
Cursor = Annotated[
    str | None, Query(max_length=2_000, description="`next_cursor` of the page before; none for the first.")
]


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next_cursor: str | None


def cut(found: list[T], limit: int, keys: Callable[[T], tuple[Any, ...]]) -> Page[T]:
    """The page of `limit` items, where `found` holds one more when there is more; `keys` are what it is ordered by."""
    items = found[:limit]
    return Page(items=items, next_cursor=write_cursor(*keys(items[-1])) if len(found) > limit else None)


def write_cursor(*keys: object) -> str:
    """An opaque text that stands for the place behind `keys`."""
    text = json.dumps([key.isoformat() if isinstance(key, datetime) else key for key in keys])
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The keys that `write_cursor` was given, of these types. Raises InvalidError for anything else."""
    try:
        keys = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(_read(key, kind) for key, kind in zip(keys, kinds, strict=True))
    except (ValueError, TypeError):
        raise InvalidError("must be the next_cursor of an earlier page, unchanged", "cursor") from None


def _read(key: object, kind: type) -> Any:
    if kind is datetime:
        instant = datetime.fromisoformat(str(key))
        if instant.tzinfo is None:
            raise ValueError("no zone")
        return instant
    if type(key) is not kind or (isinstance(key, str) and "\0" in key):
        raise ValueError("another kind")
    return key

"""How instants leave: RFC 3339 in UTC, with a Z, with microseconds only where there are any."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer


def written(instant: datetime) -> str:
    """2026-11-22T10:15:00Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


Instant = Annotated[datetime, PlainSerializer(written, return_type=str, when_used="json")]
"""An instant in an answer."""

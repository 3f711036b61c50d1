"""Time comes from here and is handed on as a value: rules and queries never read it themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present instant, with time zone."""
    return datetime.now(UTC)

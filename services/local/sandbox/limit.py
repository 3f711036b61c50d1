"""Resend's rate limit: so many requests in each second, told in the headers of every answer."""

from __future__ import annotations

from datetime import datetime

from services.local.sandbox.answer import RefusedError


class RateLimit:
    """A window of one second for all keys together, as Resend counts for a team."""

    def __init__(self, requests_per_second: int) -> None:
        self._most = requests_per_second
        self._window = 0
        self._used = 0

    def admit(self, now: datetime) -> None:
        """Counts a request. Raises RefusedError 429 once the window is full."""
        window = int(now.timestamp())
        if window != self._window:
            self._window, self._used = window, 0
        self._used += 1
        if self._used > self._most:
            raise self.refusal()

    def headers(self) -> dict[str, str]:
        left = max(0, self._most - self._used)
        return {"ratelimit-limit": str(self._most), "ratelimit-remaining": str(left), "ratelimit-reset": "1"}

    def refusal(self) -> RefusedError:
        message = (
            f"Too many requests. You can only make {self._most} requests per second. "
            "See rate limit response headers for more information."
        )
        return RefusedError(429, "rate_limit_exceeded", message, {"retry-after": "1"})

"""How many events a key may publish: a bucket of ten seconds' worth that fills steadily."""

from __future__ import annotations

from typing import Final

from shared.problems import Problem

SECONDS: Final = 10
MOST_KEYS: Final = 100_000


class RateLimit:
    """`rate` events a second for each key, averaged over ten seconds, in this process."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._most = float(rate * SECONDS)
        self._left: dict[tuple[str, str], tuple[float, float]] = {}  # key -> tokens, and when they were counted

    def take(self, organization_id: str, key_id: str, events: int, now: float) -> float:
        """Count `events` against a key at monotonic second `now`; 0 when they may pass, else the seconds to wait.

        A single request larger than the bucket passes when the bucket is full: to wait longer would not help.
        """
        whose = (organization_id, key_id)
        left, counted_at = self._left.get(whose, (self._most, now))
        left = min(self._most, left + (now - counted_at) * self._rate)
        wanted = min(float(events), self._most)
        if wanted > left:
            self._left[whose] = (left, now)
            return (wanted - left) / self._rate
        if len(self._left) >= MOST_KEYS:
            self._left.clear()  # keys come from the database, so this is a guard that hardly ever acts
        self._left[whose] = (left - wanted, now)
        return 0.0


def too_many(rate: int, wait: float) -> Problem:
    """The problem that a terminal gets beyond its limit."""
    seconds = max(1, -int(-wait // 1))
    detail = (
        f"This key may publish {rate:,} events a second, averaged over {SECONDS} seconds. "
        f"Nothing of this request was accepted: send it again in {seconds} s."
    )
    return Problem(429, "Too Many Requests", detail, headers={"Retry-After": str(seconds)})

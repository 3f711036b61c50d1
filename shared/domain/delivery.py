"""What to do after a call of the mail provider: decisions without I/O."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0
# So many batches in a row without one that went: somebody must look.
MOST_FAILURES_IN_A_ROW: Final = 20
# Resend forgets an idempotency key after 24 hours: from then on a call might send a second time.
KEY_LASTS: Final = timedelta(hours=23)

# Smaller goes first.
PRIORITIES: Final = {
    "birthday": 10,
    "anniversary": 10,
    "welcome": 20,
    "follow_up": 20,
    "promotional": 30,
    "newsletter": 40,
}


def backoff(attempts: int, chance: float, asked_for: float | None = None) -> float:
    """Seconds until the next call, after `attempts` that failed: doubling to a minute, spread by `chance` (0 to 1) over
    its upper half, so that mailers do not come back all at once. Never less than the provider asked for.
    """
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempts - 1, 16))
    return max(longest * (0.5 + 0.5 * chance), asked_for or 0.0)


def campaign_must_pause(failures_in_row: int) -> bool:
    """Whether errors have piled up."""
    return failures_in_row >= MOST_FAILURES_IN_A_ROW

"""A/B subjects: who gets which, when the winner is chosen and which it is. Decisions without I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import NormalDist
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, case, cast, func, null

# A difference that chance alone would make less often than this is told as one.
LEVEL: Final = 0.05
WORDS: Final = {"opens": ("opened", "opens"), "clicks": ("clicked", "clicks")}


@dataclass(frozen=True, slots=True)
class Tried:
    """How a subject did: people it was sent to, and those who did what the test goes by."""

    subject: str
    sent: int
    hits: int

    @property
    def rate(self) -> float:
        """Of those it was sent to; 0 of nobody."""
        return self.hits / self.sent if self.sent else 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the mails of a test stand: still to go, gone, and when half of those that are gone had gone."""

    still_open: int
    sent: int
    half_sent_at: datetime | None


def variant(campaign_id: str, customer_id: str, percent: int, subjects: int) -> int | None:
    """Which subject a customer gets in the test; None for the rest, who get the winner. Always the same answer."""
    digest = hashlib.md5(f"{campaign_id}/{customer_id}/ab".encode(), usedforsecurity=False).hexdigest()
    drawn = int(digest[:7], 16)
    return drawn // 100 % subjects if drawn % 100 < percent else None


def variant_column(
    campaign_id: ColumnElement[str], customer_id: ColumnElement[str], percent: int, subjects: int
) -> ColumnElement[Any]:
    """The same of columns."""
    digest = func.substr(func.md5(campaign_id.concat("/").concat(customer_id).concat("/ab")), 1, 7)
    drawn = cast(func.concat("0x", digest), Integer)
    return case((drawn % 100 < percent, cast(func.div(drawn, 100), Integer) % subjects), else_=null())


def decides_at(progress: Progress, after: timedelta, now: datetime) -> datetime | None:
    """When the winner is chosen: so long after half of the test's mails were out, so that a pause, a provider that is
    away or contact times leave people their time. None while more are to go than went.
    """
    if progress.still_open > progress.sent:
        return None
    # Of a test that reached nobody there is nothing to wait for.
    return now if progress.half_sent_at is None else progress.half_sent_at + after


def winner(tried: Sequence[Tried]) -> int:
    """The place of the subject with the highest rate; of several the first."""
    return max(range(len(tried)), key=lambda place: (tried[place].rate, -place))


def sentence(tried: Sequence[Tried], chosen: int, by: str, *, decided: bool) -> str:
    """What the numbers say, ties and small samples included, for a person."""
    did, things = WORDS[by]
    best = tried[chosen]
    others = [each for place, each in enumerate(tried) if place != chosen]
    second = max(others, key=lambda each: each.rate)
    went = "goes to the rest" if decided else "would go to the rest as it stands"
    if not any(each.sent for each in tried):
        return f"No mail of the test has gone out: without numbers the first subject, “{best.subject}”, {went}."
    if not any(each.hits for each in tried):
        return f"A tie without any {things}: the first subject, “{best.subject}”, {went}."
    if best.rate == second.rate:
        return f"A tie at {best.rate:.1%} {did}: the first of them, “{best.subject}”, {went}."
    told = f"“{best.subject}” {went}: {_rate(best, did)}, the next one {_rate(second, did)}"
    if is_clear(best, second, len(tried)):
        return f"{told}. So large a difference is hardly chance."
    return f"{told}. With so few mails that may be chance: a larger share to test on tells more."


def _rate(each: Tried, did: str) -> str:
    return f"{each.rate:.1%} {did} ({each.hits:,} of {each.sent:,})"


def is_clear(best: Tried, second: Tried, subjects: int) -> bool:
    """Whether two rates differ more than chance would have it (two-proportion z-test, Bonferroni's correction for how
    many others there are).
    """
    if not best.sent or not second.sent:
        return False
    pooled = (best.hits + second.hits) / (best.sent + second.sent)
    deviation = sqrt(pooled * (1 - pooled) * (1 / best.sent + 1 / second.sent))
    limit = NormalDist().inv_cdf(1 - LEVEL / 2 / (subjects - 1))
    return deviation > 0 and (best.rate - second.rate) / deviation > limit

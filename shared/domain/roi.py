"""ROI: what a campaign earned beyond what it cost, of what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

ASSUMED_MARGIN: Final = 30_00
"""Hundredths of a percent, where an organization has not said: a cautious one for a shop."""
PERCENT: Final = 100_00
THOUSAND: Final = 1_000


@dataclass(frozen=True, slots=True)
class Costs:
    """Of an organization: gross margin in hundredths of a percent, 1,000 mails in minor units; None: it did not say."""

    margin: int | None
    per_thousand: int | None

    @property
    def counted_margin(self) -> int:
        """What is reckoned with."""
        return ASSUMED_MARGIN if self.margin is None else self.margin

    def sending(self, mails: int) -> Fraction:
        """Of so many, in minor units."""
        return Fraction(mails * (self.per_thousand or 0), THOUSAND)

    def roi(self, revenue: int, discount: int, mails: int) -> Fraction | None:
        """(revenue x margin - discount - sending) / (discount + sending), exact; None where nothing was spent."""
        spent = discount + self.sending(mails)
        return (Fraction(revenue * self.counted_margin, PERCENT) - spent) / spent if spent else None


def half_up(amount: Fraction) -> int:
    """In whole minor units."""
    return int((2 * amount + 1) // 2)

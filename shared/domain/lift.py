"""Lift: what those who got a campaign's mail spent beyond those whom its holdout kept without, and whether that may be
chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Final

FEWEST: Final = 30  # in either group: below, the normal distribution says nothing
SURE: Final = 1.96  # standard errors to each side: 95 of 100 such intervals hold the true difference

Money = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Spending:
    """Of a group: how many, what each spent on the average, and the variance of it, in minor units."""

    customers: int
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class Lift:
    """`share` is of what the holdout spent, None where that is nothing; the others are minor units a customer."""

    share: float | None
    least: int
    most: int

    @property
    def may_be_chance(self) -> bool:
        """Whether no difference at all would do as well."""
        return self.least <= 0 <= self.most


def measured(mailed: Spending, held_out: Spending) -> Lift | None:
    """The difference with its 95 % interval (Welch); None where a group is too small to tell."""
    if min(mailed.customers, held_out.customers) < FEWEST:
        return None
    difference = mailed.mean - held_out.mean
    margin = SURE * sqrt(mailed.variance / mailed.customers + held_out.variance / held_out.customers)
    share = difference / held_out.mean if held_out.mean > 0 else None
    return Lift(share, round(difference - margin), round(difference + margin))


def sentence(mailed: Spending, held_out: Spending, days: int, money: Money) -> str:
    """The same for people."""
    if not held_out.customers:
        return "Nobody is held out, so nothing tells what they would have spent anyhow. A holdout of 10 % would."
    found = measured(mailed, held_out)
    if found is None:
        return (
            f"Too few to tell: {mailed.customers:,} were mailed and {held_out.customers:,} held out; "
            f"it takes {FEWEST} of each."
        )
    if found.may_be_chance:
        return (
            f"No difference that could not be chance: in the {days} days after, whoever was mailed spent between "
            f"{money(found.least)} and {money(found.most)} more than who was held out."
        )
    what, least, most = ("more", found.least, found.most) if found.least > 0 else ("less", -found.most, -found.least)
    share = "" if found.share is None else f", {abs(found.share):.0%} {what}"
    return (
        f"In the {days} days after, whoever was mailed spent between {money(least)} and {money(most)} {what} than who "
        f"was held out{share}."
    )

"""What a recompute finds wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection


class Difference(NamedTuple):
    """What was expected of a customer, by the ledger, and what was found. `about` is a stat, `recent`, `segment:ID`,
    `redemption:CODE:SALE` or, of no customer (""), `member_count:ID` or `coupon:CODE`.
    """

    organization_id: str
    customer_id: str
    about: str
    expected: Any
    found: Any

    @property
    def place(self) -> tuple[str, str]:
        """What tells it from others of its organization."""
        return self.customer_id, self.about


Part = Callable[[Connection], list[Difference]]
"""A part of what there is to ask."""

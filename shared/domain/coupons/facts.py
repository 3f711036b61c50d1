"""What is known of a customer and of the uses of a code at the moment of a decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """A coupon given to this customer; None does not run out before the coupon."""

    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Uses are redemptions and live holds, without those of the sale that is asked about.

    `is_unique` tells that a unique code was given, `unique_of` whose it is (None: whoever has it), `unique_uses` how
    often it was used.
    """

    uses_total: int = 0
    uses_by_customer: int = 0
    visit_count: int = 0
    is_in_segment: bool = False
    grant: Grant | None = None
    is_unique: bool = False
    unique_of: str | None = None
    unique_until: datetime | None = None
    unique_uses: int = 0
    is_given_back: bool = False

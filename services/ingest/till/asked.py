"""What tills ask of coupons, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.coupons import Basket, Refused

Place = tuple[str, str, str]
"""organization_id, code, sale_id: what a use of a coupon is known by."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A coupon for a basket: to be quoted or held."""

    organization_id: str
    code: str
    basket: Basket
    terminal_id: str | None = None

    @property
    def place(self) -> Place:
        return self.organization_id, self.code, self.basket.sale_id


@dataclass(frozen=True, slots=True)
class Named:
    """A hold that is to be committed, or released."""

    organization_id: str
    hold_id: str
    is_release: bool = False

    @property
    def place(self) -> Place:
        return self.organization_id, "", self.hold_id


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a coupon as it stands: a hold, or what became of it. `discount` in minor units."""

    hold_id: str
    code: str
    sale_id: str
    discount: int
    lines: tuple[tuple[int, int], ...]
    expires_at: datetime | None
    redeemed_at: datetime | None = None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """The hold is free, or was."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Too late to release: it is a redemption."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """This organization has no such hold."""


Question = Wanted | Named
Answer = Use | Refused | Released | Redeemed | Unknown


def place_of(question: Question) -> Place:
    """What two questions of one batch must not share."""
    return question.place

"""What tills ask of coupons, and what they are answered."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime

from shared.domain.coupons import Basket, Refused
from shared.domain.coupons.codes import MOST_TYPED, normalise

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
        """The use it asks for."""
        return self.organization_id, self.code, self.basket.sale_id


@dataclass(frozen=True, slots=True)
class Named:
    """A hold that is to be committed, or released."""

    place: Place
    is_release: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a coupon as it stands: a hold, or what became of it. `discount` in minor units."""

    place: Place
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


def id_of(place: Place) -> str:
    """The id of the hold at a place: opaque to tills, and the way back to its row without an index of its own."""
    return urlsafe_b64encode("\n".join(place).encode()).decode().rstrip("=")


def hold_at(organization_id: str, given: str) -> Place | None:
    """The place that a hold id names; None for what is no id of this organization's."""
    try:
        place = urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode().split("\n")
    except ValueError:
        return None
    match place:
        case [organization, code, sale_id] if organization == organization_id and _is_printable(code + sale_id):
            return organization, code, sale_id
        case _:
            return None


def code_of(typed: str) -> str:
    """A code as the till sent it, as it is looked up."""
    return normalise(typed.replace("\0", ""))[:MOST_TYPED]


def _is_printable(text: str) -> bool:
    return not any(character < " " for character in text)

"""The coupon that a campaign's mails carry: whether it is used up, what it can cost, and whether it may be mailed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal, select

from shared.database.campaigns import Campaign
from shared.database.coupons import coupon_of
from shared.database.tables import coupon, coupon_use, customer
from shared.domain.coupons import Coupon, exposure
from shared.domain.coupons.codes import normalise
from shared.domain.coupons.exposure import Exposure, uses_of_recipients
from shared.domain.coupons.words import discount_in_words, earlier, expiry_in_words
from shared.errors import InvalidError

FIELD = "coupon_code"


@dataclass(frozen=True, slots=True)
class CampaignCoupon:
    """A coupon as a campaign gives it out."""

    organization_id: str
    coupon: Coupon
    redemptions: int
    unique_codes: bool
    grant_days: int | None

    @property
    def gives_grants(self) -> bool:
        """Whether each recipient gets a grant; else the shared code is for everybody."""
        return not self.unique_codes and (self.grant_days is not None or self.coupon.grants_only)

    def is_over(self, now: datetime) -> bool:
        """Whether nobody can use it any more."""
        until, most = self.coupon.valid_until, self.coupon.limit_total
        return (
            self.coupon.state == "archived"
            or (until is not None and until <= now)
            or (most is not None and self.redemptions >= most)
        )

    def used_up(self, now: datetime) -> ColumnElement[bool]:
        """The gate coupon_used_up, over rows of `customer`: nobody can use it any more, or this customer has done so as
        often as they may. Live holds do not count: most become redemptions, but a skipped mail never goes.
        """
        if self.is_over(now):
            return literal(value=True)
        if self.coupon.limit_per_customer is None:
            return literal(value=False)
        used = (
            select(func.count())
            .where(
                coupon_use.c.organization_id == customer.c.organization_id,
                coupon_use.c.customer_id == customer.c.customer_id,
                coupon_use.c.coupon_code == self.coupon.code,
                coupon_use.c.state == "redeemed",
            )
            .scalar_subquery()
        )
        return used >= self.coupon.limit_per_customer

    def exposure(self, recipients: int, now: datetime) -> Exposure:
        """What so many mails can cost at most, in minor units, or "unbounded"."""
        uses = uses_of_recipients(self.coupon, recipients, unique_codes=self.unique_codes, grants=self.gives_grants)
        over = self.is_over(now) or not recipients
        return exposure(self.coupon, redemptions=self.redemptions, can_end=over, uses_left=uses)

    def expires_at(self, now: datetime) -> datetime | None:
        """Until when a grant or unique code counts whose mail goes now; None is as long as the coupon."""
        return None if self.grant_days is None else now + timedelta(days=self.grant_days)

    def variables(self, code: str, until: datetime | None, currency: str, time_zone: str) -> dict[str, str]:
        """The values of a mail's coupon variables, for somebody who has `code` until then, in their time zone. For a
        preview: the coupon's own code and `expires_at(now)`.
        """
        return {
            "coupon_code": code,
            "discount_value": discount_in_words(self.coupon, currency),
            "coupon_expiry": expiry_in_words(earlier(until, self.coupon.valid_until), time_zone),
        }

    def check(self, at: datetime) -> None:
        """Raises InvalidError where mails that go at `at` would carry a code that does not count."""
        code = self.coupon.code
        if self.coupon.state == "archived":
            raise InvalidError(f"{code} is archived. Choose another coupon, or activate it", FIELD)
        until = self.coupon.valid_until
        if until is not None and until <= at:
            message = f"{code} ends at {until.isoformat()}, before the mails go. Let it last longer, or choose another"
            raise InvalidError(message, FIELD)
        if self.coupon.unique_only and not self.unique_codes:
            message = f"must be true: {code} can only be used by its unique codes"
            raise InvalidError(message, "unique_codes")


def read(
    connection: Connection,
    organization_id: str,
    code: str,
    *,
    unique_codes: bool = False,
    grant_days: int | None = None,
) -> CampaignCoupon | None:
    """None where there is no such coupon."""
    wanted = select(coupon).where(coupon.c.organization_id == organization_id, coupon.c.code == normalise(code))
    row: Any = connection.execute(wanted).first()
    if row is None:
        return None
    return CampaignCoupon(organization_id, coupon_of(row), row.redemptions, unique_codes, grant_days)


def of(connection: Connection, wanted: Campaign) -> CampaignCoupon | None:
    """The coupon of a campaign; None where it has none, or one that is gone."""
    if wanted.coupon_code is None:
        return None
    return read(
        connection,
        wanted.organization_id,
        wanted.coupon_code,
        unique_codes=wanted.unique_codes,
        grant_days=wanted.grant_days,
    )


def used_up(connection: Connection, wanted: Campaign, now: datetime) -> ColumnElement[bool]:
    """The gate coupon_used_up of a campaign, over rows of `customer`. A coupon that is gone is used up."""
    if wanted.coupon_code is None:
        return literal(value=False)
    found = of(connection, wanted)
    return literal(value=True) if found is None else found.used_up(now)


def exposure_of(connection: Connection, wanted: Campaign, recipients: int, now: datetime) -> Exposure:
    """Of a campaign before it is sent: minor units, or "unbounded"; 0 without a coupon."""
    found = of(connection, wanted)
    return 0 if found is None else found.exposure(recipients, now)


def check(connection: Connection, organization_id: str, code: str | None, *, unique_codes: bool, at: datetime) -> None:
    """Raises InvalidError for a coupon that does not exist, is archived, or ends before mails go at `at`."""
    if code is None:
        return
    found = read(connection, organization_id, code, unique_codes=unique_codes)
    if found is None:
        raise InvalidError(f"There is no coupon {code!r}. Make it first, or choose another", FIELD)
    found.check(at)

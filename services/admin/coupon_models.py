"""Coupons as the API speaks of them, checked: what can never be right is refused with the field and the remedy."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.admin.instants import Instant
from shared.domain.coupons.codes import check_shape
from shared.domain.coupons.rules import WEEKDAYS
from shared.domain.event_fields import PRINTABLE, PRINTABLE_LINES, Identifier
from shared.errors import InvalidError
from shared.refusals import TIME_OF_DAY

MOST_MONEY: Final = 10**15


def _code(value: str) -> str:
    try:
        return check_shape(value)
    except InvalidError as error:
        raise ValueError(error.message) from None


def _limit(value: int) -> int:
    if value < 1:
        raise ValueError("must be at least 1; leave it empty for no limit, and pause a coupon to stop it")
    return value


def _hours(value: Any) -> Any:
    """Also "09:00-12:00" and ["09:00", "12:00"]."""
    parts = value.split("-") if isinstance(value, str) else value
    if isinstance(parts, list) and len(parts) == 2:  # noqa: PLR2004 - from and until
        return {"from": parts[0], "until": parts[1]}
    return value


def _weekday(value: Any) -> Any:
    """Also 1 for Monday to 7 for Sunday, and "Mon"."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(WEEKDAYS):
        return WEEKDAYS[value - 1]
    if isinstance(value, str) and len(value) >= 2:  # noqa: PLR2004 - "mo"
        named = [name for name in WEEKDAYS if name.startswith(value.strip().lower())]
        return named[0] if len(named) == 1 else value
    return value


Code = Annotated[
    str,
    Field(max_length=64, description="4 to 20 of A-Z and 0-9; lower case, blanks and dashes are forgiven."),
    AfterValidator(_code),
]
Name = Annotated[str, Field(max_length=128, pattern=PRINTABLE)]
Description = Annotated[str, Field(max_length=2_000, pattern=PRINTABLE_LINES)]
Amount = Annotated[int, Field(ge=1, le=MOST_MONEY, strict=True, description="Minor units.")]
Limit = Annotated[
    int, Field(le=10**9, strict=True, description="At least 1; null for no limit."), AfterValidator(_limit)
]
Time = Annotated[str, Field(pattern=TIME_OF_DAY, description="HH:MM by the organization's clock.")]
Weekday = Annotated[
    Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], BeforeValidator(_weekday)
]
Names = Annotated[list[Identifier], Field(max_length=1_000)]


class Hours(BaseModel):
    """A span of every day; over midnight where `until` is earlier than `from`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    begin: Time = Field(alias="from")
    end: Time = Field(alias="until")

    @model_validator(mode="after")
    def _is_a_span(self) -> Hours:
        if self.begin in {self.end, "24:00"}:
            raise ValueError("from and until must differ, and from lie before 24:00; leave the hours out for all day")
        return self


class Rules(BaseModel):
    """What a coupon takes off, from what, for whom and when."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    description: Description = ""
    type: Literal["percentage", "fixed"]
    value: Decimal = Field(description="Percent with up to two decimals, or minor units.")
    minimum_purchase: Annotated[int, Field(ge=0, le=MOST_MONEY, strict=True)] | None = None
    maximum_discount: Amount | None = Field(None, description="Caps a percentage.")
    limit_per_customer: Limit | None = None
    limit_total: Limit | None = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = Field(None, description="The first instant at which it does not count.")
    valid_hours: Annotated[Hours | None, BeforeValidator(_hours)] = None
    valid_weekdays: Annotated[list[Weekday], Field(min_length=1, max_length=7)] | None = None
    include_products: Names = []
    include_categories: Names = []
    exclude_products: Names = []
    exclude_categories: Names = []
    stores: Names = Field([], description="Empty: in all.")
    segment_id: Identifier | None = Field(None, description="Only for who is in it at that moment.")
    first_purchase_only: bool = False
    grants_only: bool = Field(False, description="Only for customers it was granted to; set by the first grant.")
    unique_only: bool = Field(False, description="Only by its unique codes, not by its own.")
    state: Literal["active", "paused", "archived"] = "active"


class NewCoupon(Rules):
    """A coupon to be made. Without a code it gets a new one that is easy to read."""

    code: Code | None = None


class Copy(BaseModel):
    """What a copy is called."""

    model_config = ConfigDict(extra="forbid")

    code: Code | None = None


class CopyOf(Copy):
    """What an idempotency key stands for."""

    coupon_code: str


class Coupon(BaseModel):
    """A coupon, and how it does."""

    code: str
    name: str
    description: str
    type: Literal["percentage", "fixed"]
    value: int | float = Field(description="Percent, or minor units.")
    minimum_purchase: int | None
    maximum_discount: int | None
    limit_per_customer: int | None
    limit_total: int | None
    valid_from: Instant | None
    valid_until: Instant | None
    valid_hours: Hours | None
    valid_weekdays: list[str] | None
    include_products: list[str]
    include_categories: list[str]
    exclude_products: list[str]
    exclude_categories: list[str]
    stores: list[str]
    segment_id: str | None
    first_purchase_only: bool
    grants_only: bool
    unique_only: bool
    state: Literal["active", "paused", "archived"]
    redemptions: int = Field(description="Not given back.")
    held: int = Field(description="Live holds of tills.")
    over_limit: int = Field(description="Redemptions of offline tills beyond a limit.")
    discount_given: int = Field(description="Minor units.")
    revenue: int = Field(description="What the sales with it were paid, in minor units.")
    exposure: int | Literal["unbounded"] = Field(description="Uses left times the largest discount, in minor units.")
    warnings: list[str] = Field(description="Of its code: what is easily misread.")
    version: int = Field(exclude=True)
    created_at: Instant
    updated_at: Instant


def check(wanted: Rules) -> None:
    """Raises InvalidError for rules that contradict each other."""
    if wanted.type == "percentage":
        if not 0 < wanted.value <= 100 or wanted.value != round(wanted.value, 2):  # noqa: PLR2004 - percent
            raise InvalidError("must be a percentage above 0 and up to 100, with at most two decimals", "value")
    elif wanted.value != int(wanted.value) or not 1 <= wanted.value <= MOST_MONEY:
        raise InvalidError("must be a whole number of minor units, at least 1", "value")
    if wanted.type == "fixed" and wanted.maximum_discount is not None:
        message = "caps percentages; the value of a fixed coupon is its cap: leave this out"
        raise InvalidError(message, "maximum_discount")
    if wanted.valid_from and wanted.valid_until and wanted.valid_until <= wanted.valid_from:
        raise InvalidError("must lie after valid_from", "valid_until")
    for what in ("products", "categories"):
        both = set(getattr(wanted, f"include_{what}")) & set(getattr(wanted, f"exclude_{what}"))
        if both:
            message = f"must not hold what include_{what} holds: {', '.join(sorted(both))}"
            raise InvalidError(message, f"exclude_{what}")


def columns(wanted: Rules) -> dict[str, Any]:
    """The row of its rules."""
    given = wanted.model_dump(exclude={"code", "value", "valid_hours", "valid_weekdays"})
    hours, days = wanted.valid_hours, wanted.valid_weekdays
    return given | {
        "value": int(wanted.value * 100) if wanted.type == "percentage" else int(wanted.value),
        "hours_from": minutes(hours.begin) if hours else None,
        "hours_until": minutes(hours.end) if hours else None,
        "weekdays": sorted({WEEKDAYS.index(day) + 1 for day in days}) if days else None,
    }


def fields(row: Any) -> dict[str, Any]:
    """The rules of a row, as the API speaks of them."""
    names = set(Rules.model_fields) - {"value", "valid_hours", "valid_weekdays"}
    hundredths = row.value / 100
    percent: int | float = int(hundredths) if hundredths == int(hundredths) else hundredths
    return {name: getattr(row, name) for name in names} | {
        "value": percent if row.type == "percentage" else row.value,
        "valid_hours": None
        if row.hours_from is None
        else {"from": clock(row.hours_from), "until": clock(row.hours_until)},
        "valid_weekdays": None if row.weekdays is None else [WEEKDAYS[day - 1] for day in row.weekdays],
    }


def minutes(time: str) -> int:
    """After midnight: 570 for 09:30."""
    return int(time[:2]) * 60 + int(time[3:])


def clock(after_midnight: int) -> str:
    """09:30 for 570."""
    return f"{after_midnight // 60:02d}:{after_midnight % 60:02d}"


def until(expires_at: datetime | None, days: int | None, now: datetime) -> datetime | None:
    """When a grant or a unique code runs out. Raises InvalidError for both ways at once, and for the past."""
    if expires_at is not None and days is not None:
        raise InvalidError("must be left out where days are given", "expires_at")
    if expires_at is not None and expires_at <= now:
        raise InvalidError(f"must lie in the future; it is {now.isoformat()}", "expires_at")
    return expires_at if days is None else now + timedelta(days=days)

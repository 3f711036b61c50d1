"""The fields of events, constrained in both dialects: `Meta` for msgspec (fast), `Field` for pydantic (authority).

A description reads on from "must be", so that it serves the JSON Schema and the message to whoever sent a bad event.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

import msgspec
from msgspec import Meta
from pydantic import AfterValidator, BeforeValidator, Field

MAX_MONEY = 10**15
MAX_QUANTITY = 10**9
MAX_LINES = 2_000
MAX_TAGS = 100
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)

# No C0, DEL or C1 control characters; free text may hold tabs and line breaks.
# The fast path looks for control characters in the raw bytes instead (decode.py).
PRINTABLE = r"^[^\u0000-\u001f\u007f-\u009f]*$"
PRINTABLE_LINES = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
ORGANIZATION_ID = r"^[a-z0-9][a-z0-9_-]*$"
CURRENCY = r"^[A-Z]{3}$"
EMAIL = r"^[^@\s\u0000-\u001f\u007f-\u009f]+@[^@\s\u0000-\u001f\u007f-\u009f]+$"


def _instant(value: object) -> datetime:
    """Both dialects read an instant by the same parser: RFC 3339 with a zone, microseconds, no leap seconds."""
    instant: datetime = msgspec.convert(value, Annotated[datetime, Meta(tz=True)])
    return instant


def _representable(value: datetime) -> datetime:
    # Outside of these years some zone or driver overflows.
    if not 1900 <= value.year <= 2999:  # noqa: PLR2004 - the years are said in the description
        raise ValueError("out of range")
    return value


def _calendar_day(value: str) -> str:
    # 2000 was a leap year: 29 February without a year is a day.
    date.fromisoformat(value.replace("--", "2000-", 1) if value.startswith("--") else value)
    return value


@cache
def _time_zones() -> set[str]:
    # "localtime" is whatever a machine calls so: no zone that PostgreSQL would know.
    return available_timezones() - {"localtime"}


def _time_zone(value: str) -> str:
    if value not in _time_zones():
        raise ValueError('must be an IANA time zone, such as "Asia/Kolkata"')
    return value


Money = Annotated[
    int,
    Meta(ge=0, le=MAX_MONEY),
    Field(
        ge=0,
        le=MAX_MONEY,
        description="an integer in minor units (paise, cents), not negative, for example 9000 for 90.00",
    ),
]
Quantity = Annotated[
    float,
    Meta(ge=0, le=MAX_QUANTITY),
    Field(ge=0, le=MAX_QUANTITY, description="a number from 0 to 10^9, for example 2 or 0.75"),
]
Currency = Annotated[
    str,
    Meta(pattern=CURRENCY),
    Field(pattern=CURRENCY, description='an ISO 4217 code of three capitals, for example "INR"'),
]
Instant = Annotated[
    datetime,
    Meta(tz=True),
    BeforeValidator(_instant),
    Field(description='an RFC 3339 instant with a zone, for example "2026-11-22T10:15:00Z"'),
]
RegisteredAt = Annotated[
    Instant,
    AfterValidator(_representable),
    Field(description='an RFC 3339 instant with a zone between 1900 and 2999, for example "2026-11-22T10:15:00Z"'),
]

OrganizationId = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=ORGANIZATION_ID),
    Field(
        min_length=1,
        max_length=64,
        pattern=ORGANIZATION_ID,
        description="an organization's id: 1 to 64 of a-z, 0-9, _ and -, not starting with _ or -",
    ),
]
CustomerId = Annotated[
    str,
    Meta(min_length=1, max_length=64),
    Field(
        min_length=1, max_length=64, pattern=PRINTABLE, description="a customer's id of 1 to 64 printable characters"
    ),
]
Identifier = Annotated[
    str,
    Meta(min_length=1, max_length=128),
    Field(min_length=1, max_length=128, pattern=PRINTABLE, description="a text of 1 to 128 printable characters"),
]
EventIdentity = Annotated[
    str,
    Meta(min_length=1, max_length=256),
    Field(min_length=1, max_length=256, pattern=PRINTABLE, description="a text of 1 to 256 printable characters"),
]
CouponCode = Annotated[
    str,
    Meta(min_length=1, max_length=64),
    Field(
        min_length=1, max_length=64, pattern=PRINTABLE, description="a coupon's code of 1 to 64 printable characters"
    ),
]
Link = Annotated[
    str,
    Meta(min_length=1, max_length=8_000),
    Field(min_length=1, max_length=8_000, pattern=PRINTABLE, description="a link of 1 to 8,000 printable characters"),
]

Name = Annotated[
    str,
    Meta(max_length=256),
    Field(max_length=256, pattern=PRINTABLE, description="a text of up to 256 printable characters"),
]
Email = Annotated[
    str,
    Field(
        max_length=254,
        pattern=EMAIL,
        description='one address of up to 254 characters, for example "asha@example.com"',
    ),
]
VerifiedEmail = Annotated[
    Email,
    Field(
        description="the address that email_verified is about: by the time it says so, another one stays as it is, "
        'for example "asha@example.com"'
    ),
]
Phone = Annotated[str, Field(max_length=32, pattern=PRINTABLE, description="a text of up to 32 printable characters")]
Tag = Annotated[
    str, Field(min_length=1, max_length=64, pattern=PRINTABLE, description="a text of 1 to 64 printable characters")
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS, description="a list of up to 100 tags")]
FreeText = Annotated[
    str,
    Meta(max_length=2_000),
    Field(
        max_length=2_000,
        pattern=PRINTABLE_LINES,
        description="a text of up to 2,000 characters without control characters",
    ),
]
CalendarDay = Annotated[
    str,
    AfterValidator(_calendar_day),
    Field(
        pattern=r"^([0-9]{4}-|--)[0-9]{2}-[0-9]{2}$",
        description='a date such as "1990-02-28", or "--02-28" without the year',
    ),
]
TimeZone = Annotated[
    str, AfterValidator(_time_zone), Field(max_length=64, description='an IANA time zone, for example "Asia/Kolkata"')
]
Locale = Annotated[
    str,
    Field(
        max_length=35,
        pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$",
        description='a language tag of up to 35 characters, for example "en-IN"',
    ),
]
ContactTime = Annotated[
    Literal["morning", "afternoon", "evening"], Field(description='"morning", "afternoon" or "evening"')
]
EmailFrequency = Annotated[
    Literal["daily", "weekly", "monthly", "never"], Field(description='"daily", "weekly", "monthly" or "never"')
]
Flag = Annotated[bool, Field(description="true or false")]
Cause = Annotated[
    Literal["event", "time", "backfill", "edit"], Field(description='"event", "time", "backfill" or "edit"')
]

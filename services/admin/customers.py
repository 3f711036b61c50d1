"""Customers as marketers see them: profile, stats, segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, RowMapping, Select, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from services.admin import customer_search, memberships
from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.predicate import inside
from shared.database.tables import customer, customer_merge
from shared.errors import NotFoundError


class Stats(BaseModel):
    """Sums of the ledger. Money in minor units."""

    total_spent: int = Field(description="Net of refunds.")
    visit_count: int
    average_basket: int | None = Field(description="total_spent / visit_count, rounded half up; null without a visit.")
    first_visit_at: Instant | None
    last_visit_at: Instant | None
    coupon_redemptions: int
    discount_received: int = Field(description="By coupons.")
    last_open_at: Instant | None
    last_click_at: Instant | None


class Profile(BaseModel):
    """What is known of a customer, from their events: the newest time wins for each field."""

    customer_id: str
    name: str | None
    email: str | None
    email_verified: bool
    email_verified_at: Instant | None
    phone: str | None
    birthday: str | None = Field(description="1990-02-28, or --02-28 without the year.")
    anniversary: str | None
    tags: list[str]
    marketing_consent: bool
    consent_at: Instant | None
    consent_where: str | None
    consent_wording: str | None
    preferred_contact_time: str | None
    email_frequency: str | None
    time_zone: str | None
    locale: str | None
    registered_at: Instant | None


class Customer(Profile):
    """A customer with stats and segments."""

    stats: Stats
    segments: list[str] = Field(description="Ids of the segments they are in.")


PROFILE = tuple(Profile.model_fields)
STATS = tuple(Stats.model_fields)
_COLUMNS = {each.name: each for each in customer.c}
_COMPUTED = {"average_basket"}
_NEEDED = {*PROFILE, *STATS, "memberships", "birthday_year", "anniversary_year"} - _COMPUTED


def rows(organization_id: str) -> Select[Any]:
    """All customers of an organization, with the columns that `profile`, `stats` and memberships need."""
    return select(*(column for name, column in _COLUMNS.items() if name in _NEEDED)).where(
        customer.c.organization_id == organization_id
    )


def profile(row: RowMapping) -> dict[str, Any]:
    """The fields of `Profile`, of one of `rows`."""
    fields = {name: row[name] for name in PROFILE}
    for name in ("birthday", "anniversary"):
        fields[name] = _day(row[name], row[f"{name}_year"])
    return fields


def stats(row: RowMapping) -> dict[str, Any]:
    """The fields of `Stats`, of one of `rows`."""
    visits = row["visit_count"]
    average = (2 * row["total_spent"] + visits) // (2 * visits) if visits else None
    return {name: row[name] for name in STATS if name not in _COMPUTED} | {"average_basket": average}


def shown(row: RowMapping, slots: Mapping[int, str]) -> Customer:
    """One of `rows` as a customer; `slots` are the organization's segments."""
    return Customer(**profile(row), stats=Stats(**stats(row)), segments=memberships.ids(row["memberships"], slots))


def read(connection: Connection, organization_id: str, customer_id: str) -> Customer:
    """Raises NotFoundError, which tells where somebody merged has gone."""
    row = connection.execute(rows(organization_id).where(customer.c.customer_id == customer_id)).mappings().first()
    if row is None:
        raise _missing(connection, organization_id, customer_id)
    return shown(row, memberships.slots(connection, organization_id))


def exists(connection: Connection, organization_id: str, customer_id: str) -> bool:
    """Whether there is such a customer."""
    wanted = select(customer.c.customer_id).where(
        customer.c.organization_id == organization_id, customer.c.customer_id == customer_id
    )
    return connection.execute(wanted).first() is not None


def names(connection: Connection, organization_id: str, customer_id: str) -> list[str]:
    """The customer's id, and those that were merged into it: mails stay with the id that they were planned for."""
    merged = select(customer_merge.c.customer_id).where(
        customer_merge.c.organization_id == organization_id, customer_merge.c.root_customer_id == customer_id
    )
    return [customer_id, *(name for name in connection.execute(merged).scalars() if name != customer_id)]


def present(connection: Connection, organization_id: str, customer_ids: Sequence[str]) -> list[str]:
    """Who each of them is after merges, in the same order."""
    merges = select(customer_merge.c.customer_id, customer_merge.c.root_customer_id).where(
        customer_merge.c.organization_id == organization_id,
        customer_merge.c.customer_id == any_(literal(list(customer_ids), ARRAY(Text))),
    )
    roots = {row[0]: row[1] for row in connection.execute(merges)}
    return [roots.get(customer_id, customer_id) for customer_id in customer_ids]


def page(
    connection: Connection,
    organization_id: str,
    limit: int,
    cursor: str | None,
    *,
    search: str = "",
    slot: int | None = None,
) -> Page[Customer]:
    """By customer_id. `search` finds the beginning of an id, an address or words of a name; `slot` takes one segment's
    members only.
    """
    (after,) = ("",) if cursor is None else read_cursor(cursor, str)
    only = [] if slot is None else [inside(slot)]
    if text := search.strip():
        ids = customer_search.first(connection, organization_id, text, limit + 1, after=after, only=only)
        wanted = rows(organization_id).where(customer.c.customer_id.in_(ids))
    else:
        wanted = rows(organization_id).where(customer.c.customer_id > after, *only)
    slots = memberships.slots(connection, organization_id)
    found = connection.execute(wanted.order_by(customer.c.customer_id).limit(limit + 1)).mappings()
    return cut([shown(row, slots) for row in found], limit, lambda each: (each.customer_id,))


def etag(shown_customer: Profile) -> str:
    """Changes with the profile only: a sale meanwhile does not stand in the way of an edit."""
    fields = shown_customer.model_dump_json(include=set(PROFILE))
    return f'"{sha256(fields.encode()).hexdigest()[:32]}"'


def _day(month_and_day: int | None, year: int | None) -> str | None:
    """1990-02-28 of (228, 1990), --02-28 of (228, None)."""
    if month_and_day is None:
        return None
    month, day = divmod(month_and_day, 100)
    return f"{'-' if year is None else f'{year:04d}'}-{month:02d}-{day:02d}"


def _missing(connection: Connection, organization_id: str, customer_id: str) -> NotFoundError:
    merged = connection.execute(
        select(customer_merge.c.root_customer_id).where(
            customer_merge.c.organization_id == organization_id, customer_merge.c.customer_id == customer_id
        )
    ).scalar()
    if merged is not None:
        return NotFoundError(f"Customer {customer_id!r} was merged into {merged!r}: ask for that one.")
    return NotFoundError(f"There is no customer {customer_id!r}.")

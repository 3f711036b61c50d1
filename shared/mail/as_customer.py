"""A campaign's mail as one customer would get it: for previews and tests. Issues nothing and counts nothing."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, select

from shared.database import campaign_coupons
from shared.database.campaigns import Campaign, Organization
from shared.database.tables import customer
from shared.errors import NotFoundError
from shared.mail.content import Content
from shared.mail.variables import People, values_of

NOBODY = SimpleNamespace(**dict.fromkeys(People._fields))


def read_person(connection: Connection, organization_id: str, customer_id: str | None) -> Any:
    """Whose values a mail is filled with; nobody's where no customer is named. Raises NotFoundError."""
    if customer_id is None:
        return NOBODY
    wanted = select(*(customer.c[name] for name in People._fields)).where(
        customer.c.organization_id == organization_id, customer.c.customer_id == customer_id
    )
    row = connection.execute(wanted).first()
    if row is None:
        raise NotFoundError(f"There is no customer {customer_id!r}.")
    return row


def values_as(
    connection: Connection, content: Content, person: Any, wanted: Campaign, sender: Organization, *, now: datetime
) -> dict[str, str]:
    """The values of the content's variables for a person of `read_person`; of the coupon its own code, as nothing is
    issued.
    """
    alone = People(*([getattr(person, name)] for name in People._fields))
    values = {name: value for name, (value,) in values_of(content.variables, alone, sender).items()}
    coupon = campaign_coupons.of(connection, wanted)
    if coupon is None:
        return values
    zone = person.time_zone or sender.time_zone
    return values | coupon.variables(coupon.coupon.code, coupon.expires_at(now), sender.currency, zone)

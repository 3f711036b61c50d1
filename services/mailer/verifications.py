"""Verification mails: what they say, and who gets one by itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Connection, Row, and_, exists, func, select

from shared.database import direct_mails
from shared.database.campaigns import Organization, mailbox
from shared.database.locks import take_lock
from shared.database.tables import customer, direct_mail, organization, suppression
from shared.domain.templating import Slot
from shared.mail.content import Content

# An address that is longer here is nothing new; so that who never answers is not looked at for ever.
NEW: Final = timedelta(days=3)
MOST: Final = 1_000
LINK: Final = Slot("verify_url", "", "html")


def content(
    _: Connection, sender: Organization, __: Row[Any], email: str, ___: datetime
) -> tuple[Content, dict[str, str]]:
    """One and the same for every address of an organization, but for the link."""
    name = sender.name
    address = [line.strip() for line in sender.postal_address.splitlines() if line.strip()]
    before, after = _template().render(organization=name, address=address, link="\0").split("\0")
    text = (
        "Please confirm that this is your address. Open this page and press the button:\n\n",
        f"\n\nIf you gave {name} no address, do nothing: then you get no more mail.\n\n--\n"
        + "\n".join([name, *address, ""]),
    )
    made = Content(
        sender=mailbox(sender.sender_name or name, email),
        subject=(f"Please confirm your address for {name}",),
        html=(before, LINK, after),
        text=(text[0], LINK._replace(context="text"), text[1]),
    )
    return made, {}


def plan(connection: Connection, sender: Organization, now: datetime) -> int | None:
    """Ask everybody to confirm whose address is new and unverified; how many. None if the organization wants no such
    mails.
    """
    since = connection.execute(
        select(organization.c.verifies_since).where(organization.c.organization_id == sender.organization_id)
    ).scalar()
    if since is None:
        return None
    # Not two mailers at once: each would write to the same addresses.
    if not take_lock(connection, f"verify/{sender.organization_id}"):
        return 0
    asked = exists().where(
        direct_mail.c.organization_id == customer.c.organization_id,
        direct_mail.c.customer_id == customer.c.customer_id,
        direct_mail.c.kind == "verification",
        direct_mail.c.email == customer.c.email,
        direct_mail.c.created_at >= customer.c.email_at,
    )
    suppressed = exists().where(
        suppression.c.organization_id == customer.c.organization_id,
        suppression.c.email == func.lower(customer.c.email),
    )
    wanted = (
        select(customer.c.customer_id, customer.c.email)
        .where(
            customer.c.organization_id == sender.organization_id,
            and_(customer.c.email.is_not(None), ~customer.c.email_verified),
            customer.c.email_at >= max(since, now - NEW),
            ~asked,
            ~suppressed,
        )
        .order_by(customer.c.email_at)
        .limit(MOST)
    )
    people = connection.execute(wanted).all()
    for customer_id, email in people:
        direct_mails.request(
            connection, sender.organization_id, "verification", [email], now=now, customer_id=customer_id
        )
    return len(people)


@cache
def _template() -> Any:
    templates = Environment(
        loader=PackageLoader("services.mailer"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template("verification.html.j2")

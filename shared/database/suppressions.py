"""Addresses that get no marketing mail, and why: written by what comes back about mails, and by marketers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, case, func, update
from sqlalchemy.dialects.postgresql import insert

from shared.database.channels import MESSAGES, notify
from shared.database.tables import customer, message, suppression

Reason = Literal["unsubscribe", "import", "bounce", "complaint"]
# The graver one stays: a new consent outweighs an unsubscribe, and nothing else.
GRAVITY: Final[dict[Reason, int]] = {"unsubscribe": 0, "import": 1, "bounce": 2, "complaint": 3}


class Suppressed(NamedTuple):
    """One address, in whatever case, and since when."""

    email: str
    reason: Reason
    at: datetime


def suppress(connection: Connection, organization_id: str, addresses: Iterable[Suppressed]) -> int:
    """Never mail them again, from what is queued on. Of two reasons for one address the graver stays, of two times the
    later. How many addresses are new, or told anew.
    """
    wanted: dict[str, Suppressed] = {}
    for each in addresses:
        email = each.email.lower()
        before = wanted.get(email, each)
        reason = max(before.reason, each.reason, key=GRAVITY.__getitem__)
        wanted[email] = Suppressed(email, reason, max(before.at, each.at))
    if not wanted:
        return 0
    # In one order, so that two of these never wait for each other in a ring.
    rows = [{"organization_id": organization_id} | wanted[email]._asdict() for email in sorted(wanted)]
    given = insert(suppression).values(rows)
    graver = _gravity(given.excluded.reason) > _gravity(suppression.c.reason)
    later = given.excluded.at > suppression.c.at
    statement = given.on_conflict_do_update(
        index_elements=["organization_id", "email"],
        set_={
            "reason": case((graver, given.excluded.reason), else_=suppression.c.reason),
            "at": func.greatest(suppression.c.at, given.excluded.at),
        },
        where=graver | later,
    )
    told = connection.execute(statement.returning(suppression.c.email)).rowcount
    if told:
        _look_again(connection, organization_id, wanted)
    return told


def _look_again(connection: Connection, organization_id: str, wanted: Mapping[str, Suppressed]) -> None:
    """Have the mailer decide at once on what waits for these addresses: a plan that will not come true is no plan."""
    hurried = connection.execute(
        update(message)
        .where(
            message.c.organization_id == organization_id,
            message.c.queued,
            message.c.state == "waiting",
            message.c.customer_id == customer.c.customer_id,
            customer.c.organization_id == organization_id,
            func.lower(customer.c.email).in_(wanted),
        )
        .values(wait_until=func.least(message.c.wait_until, max(each.at for each in wanted.values())))
    ).rowcount
    if hurried:
        notify(connection, MESSAGES, organization_id)


def _gravity(reason: ColumnElement[Any]) -> ColumnElement[int]:
    return case(GRAVITY, value=reason, else_=0)

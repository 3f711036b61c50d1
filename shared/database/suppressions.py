"""Addresses that get no marketing mail, and why: written by what comes back about mails, and by marketers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, case, func
from sqlalchemy.dialects.postgresql import insert

from shared.database.tables import suppression

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
    return connection.execute(statement.returning(suppression.c.email)).rowcount


def _gravity(reason: ColumnElement[Any]) -> ColumnElement[int]:
    return case(GRAVITY, value=reason, else_=0)

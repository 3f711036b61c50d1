"""The customers of due messages, with what the gates and their mails want to know of them.

Each table is asked by the keys of all at once, and in their order: PostgreSQL goes along its index once. A join would
look for each customer anew, five times the work, and its plan would depend on what PostgreSQL expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Text, any_, bindparam, cast, not_, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from shared.database.arrays import array
from shared.database.engine import rows
from shared.database.facts import suppressed
from shared.database.tables import customer

PEOPLE: Final = (
    *("customer_id", "email", "email_verified", "marketing_consent", "email_frequency", "preferred_contact_time"),
    *("time_zone", "name", "total_spent", "visit_count", "last_visit_at"),
)

# Customers, by their ids.
CUSTOMERS: Final = text(f"""
    SELECT {", ".join(PEOPLE)} FROM customer
    WHERE organization_id = :organization_id AND customer_id = ANY(CAST(:customers AS text[]))
""")

# When they had their last mail.
SLOTS: Final = text("""
    SELECT customer_id, last_on FROM mail_slot
    WHERE organization_id = :organization_id AND customer_id = ANY(CAST(:customers AS text[]))
""")

# Which of these addresses, by position, are on the list of the suppressed.
LISTED: Final = text("""
    SELECT place - 1 FROM unnest(CAST(:emails AS text[])) WITH ORDINALITY AS who (email, place)
    WHERE lower(email) = ANY(ARRAY(
        SELECT email FROM suppression WHERE organization_id = :organization_id
            AND email = ANY(ARRAY(SELECT lower(email) FROM unnest(CAST(:emails AS text[])) AS who (email)))
    ))
""")

# Who of these may be written to all the same, and where.
ALLOWED: Final = select(customer.c.customer_id, customer.c.email).where(
    customer.c.organization_id == bindparam("organization_id"),
    customer.c.customer_id == any_(cast(bindparam("customers", type_=Text), ARRAY(Text))),
    not_(suppressed()),
)


def recipients(connection: Connection, organization_id: str, ids: Sequence[str]) -> dict[str, Sequence[Any]]:
    """By column, in the order of `ids`, which are sorted: `PEOPLE`, the day of their last mail (`last_on`), and whether
    their address is suppressed. Nulls for whoever is gone.
    """
    given = {"organization_id": organization_id, "customers": array(dict.fromkeys(ids))}
    found = rows(connection, CUSTOMERS, given)
    if [row[0] for row in found] != [*ids]:  # somebody is gone, twice there, or elsewhere in the table
        by_id, nobody = {row[0]: row for row in found}, (None,) * len(PEOPLE)
        found = [by_id.get(customer_id, nobody) for customer_id in ids]
    columns: dict[str, Sequence[Any]] = dict(zip(PEOPLE, zip(*found, strict=True), strict=True))
    columns["customer_id"] = ids
    columns["last_on"] = [*map(dict(rows(connection, SLOTS, given)).get, ids)]
    columns["suppressed"] = _suppressed(connection, organization_id, ids, columns["email"])
    return columns


def _suppressed(
    connection: Connection, organization_id: str, customers: Sequence[str], emails: Sequence[str | None]
) -> list[bool]:
    """Whose address is suppressed. Few are on the list, and most of those are: only they are looked at more closely."""
    found = [False] * len(emails)
    given = {"organization_id": organization_id, "emails": array(emails)}
    listed = [place for (place,) in rows(connection, LISTED, given)]
    if listed:
        suspects = array({customers[n] for n in listed})
        # With the address: it may be another one by now.
        allowed = {*rows(connection, ALLOWED, {"organization_id": organization_id, "customers": suspects})}
        for n in listed:
            found[n] = (customers[n], emails[n]) not in allowed
    return found

"""Profiles: the fold of a customer's events in the order of their time, whatever the order of their arrival."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from services.segmenter.staging import Connection

# Every event that says something about the customers whose profile an incoming event concerns, oldest first; one row of
# nulls for a customer of whom nothing is said any more.
READ = """
SELECT whose.organization_id, whose.customer_id, l.type, l.occurred_at, l.payload
FROM (SELECT DISTINCT organization_id, customer_id FROM incoming
      WHERE type IN ('customer.upserted', 'customer.consent_changed') AND customer_id IS NOT NULL
      UNION SELECT organization_id, customer_id FROM dirty) AS whose
LEFT JOIN ledger l ON l.organization_id = whose.organization_id AND l.customer_id = whose.customer_id
    AND l.type IN ('customer.upserted', 'customer.consent_changed') AND l.payload IS NOT NULL
ORDER BY whose.organization_id, whose.customer_id, l.occurred_at, l.source, l.event_id
"""
EMPTY: dict[str, Any] = {
    "name": None,
    "email": None,
    "email_at": None,
    "email_verified": False,
    "email_verified_at": None,
    "phone": None,
    "birthday": None,
    "birthday_year": None,
    "anniversary": None,
    "anniversary_year": None,
    "tags": [],
    "preferred_contact_time": None,
    "email_frequency": None,
    "time_zone": None,
    "locale": None,
    "registered_given_at": None,
    "marketing_consent": False,
    "consent_at": None,
    "consent_where": None,
    "consent_wording": None,
}
WRITE = f"""
UPDATE customer SET {", ".join(f"{name} = %({name})s" for name in EMPTY)}
WHERE organization_id = %(organization_id)s AND customer_id = %(customer_id)s
"""
AS_GIVEN = ("name", "email", "phone", "preferred_contact_time", "email_frequency", "time_zone", "locale")

Change = tuple[str, datetime, dict[str, Any]]
"""type, time, data"""


def fold_profile(changes: Iterable[Change]) -> dict[str, Any]:
    """Columns of a profile after changes in the order of their time. What is absent stays, null clears; an address
    that gives way to another takes its verification with it.
    """
    profile = dict(EMPTY)
    for kind, at, data in changes:
        if kind == "customer.consent_changed":
            profile |= {
                "marketing_consent": data["marketing_consent"],
                "consent_at": at,
                "consent_where": data.get("where"),
                "consent_wording": data.get("wording"),
            }
            continue
        if "email" in data and is_another(profile["email"], data["email"]):
            profile["email_verified"], profile["email_verified_at"] = False, None
        if "email" in data and is_another(data["email"], profile["email"]):
            profile["email_at"] = at
        profile |= {name: data[name] for name in AS_GIVEN if name in data}
        for name in ("birthday", "anniversary"):
            if name in data:
                profile[name], profile[f"{name}_year"] = day_of_year(data[name])
        if "tags" in data:
            profile["tags"] = sorted(set(data["tags"] or []))
        if "registered_at" in data:
            profile["registered_given_at"] = data["registered_at"]
        if "email_verified" in data and not is_another(data.get("verified_email"), profile["email"]):
            verified = bool(data["email_verified"])
            profile["email_verified_at"] = (profile["email_verified_at"] or at) if verified else None
            profile["email_verified"] = verified
    return profile


def is_another(before: str | None, after: str | None) -> bool:
    """Whether an address that was there gave way to another, or to none; letters' case makes no other address."""
    return before is not None and before.lower() != (after or "").lower()


def day_of_year(text: str | None) -> tuple[int | None, int | None]:
    """`1990-02-28` -> (228, 1990); `--02-28` -> (228, None)."""
    if text is None:
        return None, None
    year, month, day = text[:-6], text[-5:-3], text[-2:]
    return int(month) * 100 + int(day), int(year) if year != "-" else None


def write(connection: Connection) -> None:
    """Fold anew the profiles of the customers in `dirty` and of those whom an incoming event describes."""
    rows = connection.execute(READ).fetchall()
    profiles = [
        fold_profile(row[2:] for row in changes if row[2])
        | {"organization_id": organization_id, "customer_id": customer_id}
        for (organization_id, customer_id), changes in groupby(rows, key=itemgetter(0, 1))
    ]
    if profiles:
        with connection.cursor() as cursor:
            cursor.executemany(WRITE, profiles)

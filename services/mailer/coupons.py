"""Coupons of mails: what each recipient may use is written in the transaction that claims the mail.

So a crash leaves neither a mail with a code that the till does not know, nor a second code: a claim that is rolled back
takes its grants and codes with it, and a message that is claimed again finds the code it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from shared.database import campaign_coupons
from shared.database.campaign_coupons import CampaignCoupon
from shared.database.campaigns import Campaign, Organization
from shared.domain.coupons.codes import generate_many


class Recipients(NamedTuple):
    """Customers of due messages, by column."""

    customer_ids: Sequence[str]
    message_ids: Sequence[str]
    time_zones: Sequence[str | None]


Expiries = Mapping[str, tuple[str, datetime | None]]
"""message_id to the code in the mail, and until when it counts"""

# Who has a better grant keeps it.
GRANT: Final = text("""
    INSERT INTO coupon_grant AS given (organization_id, coupon_code, customer_id, expires_at, granted_by, granted_at)
    SELECT :organization_id, :coupon_code, who.customer_id, :expires_at, :granted_by, :now
    FROM (SELECT DISTINCT customer_id COLLATE "C" FROM unnest(CAST(:customers AS text[])) AS r (customer_id)
          ORDER BY 1) AS who (customer_id)
    ON CONFLICT (organization_id, coupon_code, customer_id) DO UPDATE SET
        expires_at = CASE WHEN given.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
                          THEN greatest(given.expires_at, excluded.expires_at) END,
        granted_by = excluded.granted_by, granted_at = excluded.granted_at
    RETURNING customer_id, expires_at
""")
# From the first grant on only who has one can use the coupon: as when a marketer grants it.
GRANTS_ONLY: Final = text("""
    UPDATE coupon SET grants_only = true, version = version + 1, updated_at = :now
    WHERE organization_id = :organization_id AND code = :coupon_code AND NOT grants_only
""")
CODES: Final = text("""
    INSERT INTO coupon_code (organization_id, code, coupon_code, customer_id, expires_at, created_at, message_id)
    SELECT :organization_id, made.code, :coupon_code, made.customer_id, :expires_at, :now, made.message_id
    FROM unnest(CAST(:codes AS text[]), CAST(:customers AS text[]), CAST(:messages AS uuid[]))
        AS made (code, customer_id, message_id)
    ON CONFLICT (organization_id, message_id) WHERE message_id IS NOT NULL
        DO UPDATE SET expires_at = excluded.expires_at
    RETURNING CAST(message_id AS text) AS message_id, code, expires_at
""")


def issue(
    connection: Connection, wanted: Campaign, sender: Organization, recipients: Recipients, now: datetime
) -> dict[str, list[str]]:
    """The values of the coupon's variables for these recipients, by column, after writing their grants or codes; none
    for a campaign without a coupon. Called in the transaction that claims these messages.
    """
    found = campaign_coupons.of(connection, wanted)
    if found is None:
        return {}
    given = _give(connection, found, wanted, recipients, now)
    values = [
        found.variables(*given[message_id], sender.currency, time_zone or sender.time_zone)
        for message_id, time_zone in zip(recipients.message_ids, recipients.time_zones, strict=True)
    ]
    return {name: [each[name] for each in values] for name in values[0]}


def _give(
    connection: Connection, found: CampaignCoupon, wanted: Campaign, recipients: Recipients, now: datetime
) -> Expiries:
    code = found.coupon.code
    if not found.unique_codes and not found.gives_grants:
        return dict.fromkeys(recipients.message_ids, (code, None))
    given = {
        "organization_id": wanted.organization_id,
        "coupon_code": code,
        "customers": list(recipients.customer_ids),
        "expires_at": found.expires_at(now),
        "now": now,
    }
    if found.unique_codes:
        ids = recipients.message_ids
        given |= {"codes": list(generate_many(len(ids))), "messages": list(ids)}
        return {row.message_id: (row.code, row.expires_at) for row in connection.execute(CODES, given)}
    granted = connection.execute(GRANT, given | {"granted_by": f"campaign:{wanted.campaign_id}"})
    until = {row.customer_id: row.expires_at for row in granted}
    if not found.coupon.grants_only:
        connection.execute(GRANTS_ONLY, given)
    pairs = zip(recipients.message_ids, recipients.customer_ids, strict=True)
    return {message_id: (code, until[customer_id]) for message_id, customer_id in pairs}

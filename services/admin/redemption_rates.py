"""Of what was issued, how much was redeemed: a coupon's unique codes and grants, and mails that carried a coupon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

# Unique codes and grants of coupons, and which of them were used and not given back. A grant is used by its customer
# with the coupon's own code.
OF_COUPONS: Final = text("""
    SELECT coupon_code, count(*) AS issued, count(*) FILTER (WHERE is_used) AS redeemed FROM (
        SELECT own.coupon_code, EXISTS (
            SELECT FROM coupon_use AS u
            WHERE u.organization_id = :organization_id AND u.code = own.code AND u.state = 'redeemed'
        ) AS is_used
        FROM coupon_code AS own
        WHERE own.organization_id = :organization_id AND own.coupon_code = ANY (:names)
        UNION ALL
        SELECT given.coupon_code, EXISTS (
            SELECT FROM coupon_use AS u
            WHERE u.organization_id = :organization_id AND u.customer_id = given.customer_id
                AND u.coupon_code = given.coupon_code AND u.code = given.coupon_code AND u.state = 'redeemed'
        )
        FROM coupon_grant AS given
        WHERE given.organization_id = :organization_id AND given.coupon_code = ANY (:names)
    ) AS each
    GROUP BY coupon_code
""")
# Mails of campaigns with a coupon, and whose recipient redeemed it: with the unique code of the mail, else the shared
# one after it, which speaks for the last such mail they had.
OF_CAMPAIGNS: Final = text("""
    WITH carried AS (
        SELECT campaign_id, coupon_code FROM campaign
        WHERE organization_id = :organization_id AND campaign_id = ANY (:names) AND coupon_code IS NOT NULL
    ), used AS (
        SELECT carried.campaign_id, coalesce(own.message_id, (
            SELECT message_id FROM message
            WHERE organization_id = :organization_id AND campaign_id = carried.campaign_id
                AND customer_id = u.customer_id AND sent_at <= u.redeemed_at
            ORDER BY sent_at DESC LIMIT 1
        )) AS message_id
        FROM carried
        JOIN coupon_use AS u ON u.organization_id = :organization_id AND u.coupon_code = carried.coupon_code
            AND u.state = 'redeemed'
        LEFT JOIN coupon_code AS own ON own.organization_id = :organization_id AND own.code = u.code
    )
    SELECT carried.campaign_id, count(*) AS issued,
        count(*) FILTER (WHERE message_id IN (SELECT message_id FROM used)) AS redeemed
    FROM carried JOIN message ON message.organization_id = :organization_id
        AND message.campaign_id = carried.campaign_id AND message.sent_at IS NOT NULL
    GROUP BY carried.campaign_id
""")


class Issued(NamedTuple):
    """How many, and how many of them were redeemed."""

    issued: int = 0
    redeemed: int = 0

    @property
    def rate(self) -> float | None:
        """Redeemed by issued; None where nothing was issued, as of a code that is open to all."""
        return round(self.redeemed / self.issued, 4) if self.issued else None


def of_coupons(connection: Connection, organization_id: str, codes: Sequence[str]) -> Mapping[str, Issued]:
    """Of each coupon that issued something."""
    return _read(connection, OF_COUPONS, organization_id, codes)


def of_campaigns(connection: Connection, organization_id: str, ids: Sequence[str]) -> Mapping[str, Issued]:
    """Of each campaign that sent a coupon."""
    return _read(connection, OF_CAMPAIGNS, organization_id, ids)


def _read(connection: Connection, wanted: Any, organization_id: str, names: Sequence[str]) -> dict[str, Issued]:
    rows = connection.execute(wanted, {"organization_id": organization_id, "names": list(names)})
    return {row[0]: Issued(row.issued, row.redeemed) for row in rows}

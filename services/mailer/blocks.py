"""Blocks: the planned messages of a one-off by hundreds, neighbours by customer. A claim of a hundred is then the
removal of one row, and no message is written before its mail went.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from shared.database.campaigns import Campaign
from shared.domain.gates import Reason
from shared.domain.occasions import SEND

SIZE: Final = 100


class Block(NamedTuple):
    """Which messages: those due at an instant, of the customers from the first to the last."""

    first_customer: str
    last_customer: str
    wait_until: datetime


# The messages of a campaign that are planned and not queued, cut into blocks by when they are due.
MAKE: Final = text("""
    INSERT INTO mail_block (organization_id, campaign_id, wait_until, first_customer, last_customer)
    SELECT :organization_id, :campaign_id, wait_until, min(customer_id), max(customer_id) FROM (
        SELECT customer_id, wait_until, (row_number() OVER (PARTITION BY wait_until ORDER BY customer_id) - 1) / :size
            AS block
        FROM message
        WHERE organization_id = :organization_id AND campaign_id = :campaign_id AND occasion = :occasion
            AND state = 'planned' AND NOT queued AND wait_until = :at
    ) AS numbered
    GROUP BY wait_until, block
""")

# By their places in the file: joined by key, a thousand blocks would be gone through for each that is taken, as long
# as PostgreSQL knows nothing of how many there are.
TAKE: Final = text("""
    DELETE FROM mail_block WHERE organization_id = :organization_id AND ctid = ANY(ARRAY(
        SELECT ctid FROM mail_block
        WHERE organization_id = :organization_id AND campaign_id = :campaign_id AND wait_until <= :now
        ORDER BY wait_until, first_customer LIMIT :most FOR UPDATE SKIP LOCKED
    ))
    RETURNING first_customer, last_customer, wait_until
""")

# Blocks that nobody claimed, of campaigns that are cancelled, and their messages. How many messages.
CANCEL: Final = text("""
    WITH gone AS (
        DELETE FROM mail_block USING campaign
        WHERE mail_block.organization_id = :organization_id AND campaign.organization_id = :organization_id
            AND campaign.campaign_id = mail_block.campaign_id AND campaign.state = 'cancelled'
        RETURNING mail_block.campaign_id, mail_block.wait_until, first_customer, last_customer
    )
    UPDATE message SET state = 'skipped', reason = :reason, updated_at = :now
    FROM gone
    WHERE message.organization_id = :organization_id AND message.campaign_id = gone.campaign_id
        AND message.customer_id BETWEEN gone.first_customer AND gone.last_customer AND message.occasion = :occasion
        AND message.state = 'planned' AND NOT message.queued AND message.wait_until = gone.wait_until
""")


def make_blocks(connection: Connection, wanted: Campaign, at: datetime) -> None:
    """Once those messages are planned that are due at an instant."""
    named = {"organization_id": wanted.organization_id, "campaign_id": wanted.campaign_id}
    connection.execute(MAKE, {**named, "size": SIZE, "occasion": SEND, "at": at})


def take_blocks(connection: Connection, wanted: Campaign, *, now: datetime, most: int) -> list[Block]:
    """Claim up to `most` blocks that are due."""
    named = {"organization_id": wanted.organization_id, "campaign_id": wanted.campaign_id}
    return [Block(*row) for row in connection.execute(TAKE, {**named, "now": now, "most": most})]


def cancel_blocks(connection: Connection, organization_id: str, now: datetime) -> int:
    """End what no mailer has claimed of cancelled campaigns; how many messages."""
    given = {"organization_id": organization_id, "reason": str(Reason.CANCELLED), "now": now, "occasion": SEND}
    return connection.execute(CANCEL, given).rowcount

"""Mail that waits for a customer who is merged into another one: it goes to that one, once."""

from __future__ import annotations

from collections.abc import Sequence

from services.segmenter.staging import Connection
from shared.database.merged_mail import MOVE, moving

# Planned mail in blocks that no mailer has claimed; none claims them until this transaction ends. What is planned, not
# queued and in no block is on its way under the id that it has.
HOLD_BLOCKS = """
SELECT m.message_id FROM message m
JOIN mail_block b ON b.organization_id = m.organization_id AND b.campaign_id = m.campaign_id
    AND b.wait_until = m.wait_until AND m.customer_id BETWEEN b.first_customer AND b.last_customer
WHERE m.organization_id = %(organization_id)s AND m.customer_id = ANY(%(ids)s)
  AND m.state = 'planned' AND NOT m.queued
FOR UPDATE OF b
"""


def move(connection: Connection, organization_id: str, ids: Sequence[str], root: str) -> None:
    """Give `root` what waits for any of `ids`, who all are `root`. Before the days of mail move: a mailer, too, takes
    messages first, then days.
    """
    known = {"organization_id": organization_id, "ids": list(ids)}
    held = [row[0] for row in connection.execute(HOLD_BLOCKS, known).fetchall()]
    connection.execute(MOVE, moving(organization_id, ids, root, held))

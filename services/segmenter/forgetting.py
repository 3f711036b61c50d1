"""What an erasure removes: personal data, wherever it stands. Amounts stay, for nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.segmenter.staging import Connection
from shared.database.channels import FLIPS
from shared.database.tables.segments import PLACES

# What was personal goes; amounts stay, for nobody.
ANONYMIZE = """
UPDATE ledger SET customer_id = NULL, published_customer_id = NULL, payload = NULL
WHERE organization_id = %(organization_id)s AND customer_id = %(root)s AND occurred_at <= %(at)s
"""
FORGET_MAIL = """
UPDATE message SET customer_id = 'erased:' || message_id, email = NULL, queued = state IN ('planned', 'waiting')
WHERE organization_id = %(organization_id)s AND customer_id = %(root)s
"""
FORGET_CLICKS = """
DELETE FROM mail_click c USING message m
WHERE m.organization_id = %(organization_id)s AND m.customer_id = %(root)s
  AND c.organization_id = m.organization_id AND c.message_id = m.message_id
"""
FORGET_DIRECT_MAIL = "DELETE FROM direct_mail WHERE organization_id = %(organization_id)s AND customer_id = %(root)s"
FORGET_MAIL_DAYS = "DELETE FROM mail_slot WHERE organization_id = %(organization_id)s AND customer_id = %(root)s"
FORGET_LISTS = "DELETE FROM static_member WHERE organization_id = %(organization_id)s AND customer_id = %(root)s"
FORGET_USES = """
UPDATE coupon_use SET customer_id = NULL
WHERE organization_id = %(organization_id)s AND customer_id = %(root)s
  AND (NOT in_ledger OR redeemed_at <= %(at)s)
"""
FORGET_GRANTS = "DELETE FROM coupon_grant WHERE organization_id = %(organization_id)s AND customer_id = %(root)s"
# Nobody's codes are nobody's to use.
FORGET_CODES = """
UPDATE coupon_code SET customer_id = NULL, expires_at = least(expires_at, %(at)s)
WHERE organization_id = %(organization_id)s AND customer_id = %(root)s
"""
# The audit log keeps what was done, and no longer to whom.
FORGET_EDITS = """
UPDATE audit_log SET subject = 'customer:erased', detail = '{}'
WHERE organization_id = %(organization_id)s AND subject = 'customer:' || %(root)s
"""
# What is to be published still names the customer, so the timer comes back for it.
COME_BACK = """
INSERT INTO flip (organization_id, customer_id, due_at, cause)
VALUES (%(organization_id)s, %(root)s, %(at)s, 'erasure') ON CONFLICT DO NOTHING
"""
WAKE = f"SELECT pg_notify('{FLIPS}', '')"
AT_ONCE = (
    ANONYMIZE,
    FORGET_CLICKS,
    FORGET_MAIL,
    FORGET_DIRECT_MAIL,
    FORGET_MAIL_DAYS,
    FORGET_LISTS,
    FORGET_USES,
    FORGET_GRANTS,
    FORGET_CODES,
    FORGET_EDITS,
    COME_BACK,
    WAKE,
)
"""Each wants `organization_id`, `root` (whom) and `at` (up to when)."""
# Who did something since is somebody new, whose flips and moves they are.
GONE = """
SELECT i.customer_id FROM unnest(%(ids)s::text[]) AS i (customer_id)
WHERE NOT EXISTS (
    SELECT FROM customer c WHERE c.organization_id = %(organization_id)s AND c.customer_id = i.customer_id)
"""
FORGET_FLIPS = "DELETE FROM flip WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s)"
FORGET_MOVES = f"""
DELETE FROM segment_change c WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s)
AND NOT EXISTS (
    SELECT FROM outbox o WHERE o.organization_id = c.organization_id AND o.batch_id = c.change_id >> {PLACES})
"""
UNPUBLISHED = """
SELECT DISTINCT customer_id FROM segment_change
WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s)
"""
SOON = timedelta(minutes=1)


def finish(connection: Connection, organization_id: str, ids: Sequence[str], now: datetime) -> None:
    """What is left of erased customers once their last moves are published: comes back while some are not."""
    known = {"organization_id": organization_id, "ids": list(ids)}
    known["ids"] = [row[0] for row in connection.execute(GONE, known).fetchall()]
    if not known["ids"]:
        return
    connection.execute(FORGET_MOVES, known)
    connection.execute(FORGET_FLIPS, known)
    for (customer_id,) in connection.execute(UNPUBLISHED, known).fetchall():
        connection.execute(COME_BACK, {"organization_id": organization_id, "root": customer_id, "at": now + SOON})

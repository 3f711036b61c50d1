"""What waits for a customer who turned out to be another one becomes the other's: said once, for the segmenter, which
merges, and for the mailer, which may have had it in hand meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from shared.domain.gates import Reason

# One of a campaign and occasion, or of entries within the cool-down, is left: none where one went or the root has one
# that cannot be ended, else the root's own, else the oldest. What leaves a block is looked for by itself from then on.
MOVE: Final = """
WITH open AS MATERIALIZED (
    SELECT campaign_id, customer_id, occasion, planned_at FROM message
    WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s) AND state IN ('planned', 'waiting')
      AND (queued OR reason = 'ab_test' OR message_id = ANY(%(held)s))
    FOR UPDATE
), known AS (
    SELECT m.campaign_id, m.customer_id, m.occasion, m.planned_at, m.sent_at IS NOT NULL AS went,
        m.state NOT IN ('skipped', 'failed') AS counts, o.campaign_id IS NOT NULL AS is_open
    FROM message m LEFT JOIN open o USING (campaign_id, customer_id, occasion)
    WHERE m.organization_id = %(organization_id)s AND m.customer_id = ANY(%(ids)s)
), decided AS (
    SELECT o.campaign_id, o.customer_id, o.occasion, EXISTS (
        SELECT FROM known k
        WHERE k.campaign_id = o.campaign_id AND (k.customer_id, k.occasion) <> (o.customer_id, o.occasion)
          AND (k.occasion = o.occasion OR k.counts AND k.occasion LIKE 'entered-%%' AND o.occasion LIKE 'entered-%%'
               AND k.planned_at > o.planned_at
                   - make_interval(days => coalesce(c.trigger ->> 'cool_down_days', '0')::integer))
          AND (k.went OR k.customer_id = %(root)s AND NOT k.is_open
               OR k.is_open AND (k.customer_id <> %(root)s, k.planned_at, k.customer_id)
                  < (o.customer_id <> %(root)s, o.planned_at, o.customer_id))
    ) AS is_double
    FROM open o JOIN campaign c ON c.organization_id = %(organization_id)s AND c.campaign_id = o.campaign_id
)
UPDATE message m SET
    customer_id = CASE WHEN is_double THEN m.customer_id ELSE %(root)s END,
    state = CASE WHEN is_double THEN 'skipped' ELSE m.state END,
    reason = CASE WHEN is_double THEN %(reason)s ELSE m.reason END,
    queued = NOT is_double AND m.reason IS DISTINCT FROM 'ab_test',
    updated_at = now()
FROM decided d
WHERE m.organization_id = %(organization_id)s AND m.campaign_id = d.campaign_id AND m.customer_id = d.customer_id
  AND m.occasion = d.occasion AND (is_double OR m.customer_id <> %(root)s)
"""


def moving(organization_id: str, ids: Sequence[str], root: str, held: Sequence[UUID] = ()) -> dict[str, Any]:
    """What MOVE is given: `ids` are all `root`; `held` are messages in blocks that nobody can claim meanwhile."""
    known = {"organization_id": organization_id, "ids": list(ids), "root": root, "held": list(held)}
    return known | {"reason": str(Reason.MERGED)}

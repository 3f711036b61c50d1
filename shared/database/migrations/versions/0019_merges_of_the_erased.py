"""Erasures before 27 November 2026 left the merges of the erased, with their ids; those since take them along."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"

# Those that something since goes by stay: an event of an erased id that counts for another one, or a later merge into an
# erased id. To forget them, too, is to attribute events anew: the segmenter does so when that customer is erased again.
FORGET = """
WITH erased AS (
    SELECT m.organization_id, m.customer_id, m.root_customer_id FROM customer_merge m
    JOIN erasure e ON e.organization_id = m.organization_id AND m.merged_at <= e.erased_at
        AND e.customer_digest = sha256(convert_to(m.organization_id || '/' || m.customer_id, 'UTF8'))
), in_use AS (
    SELECT e.organization_id, e.root_customer_id FROM erased e
    JOIN ledger l ON l.organization_id = e.organization_id AND l.customer_id = e.root_customer_id
        AND l.published_customer_id = e.customer_id
    UNION
    SELECT m.organization_id, m.root_customer_id FROM customer_merge m
    JOIN erased into_erased ON into_erased.organization_id = m.organization_id
        AND into_erased.customer_id = m.into_customer_id
    LEFT JOIN erased e ON e.organization_id = m.organization_id AND e.customer_id = m.customer_id
    WHERE e.customer_id IS NULL
)
DELETE FROM customer_merge m USING erased e
WHERE m.organization_id = e.organization_id AND m.customer_id = e.customer_id
    AND (e.organization_id, e.root_customer_id) NOT IN (SELECT organization_id, root_customer_id FROM in_use)
"""


def upgrade() -> None:
    op.execute(FORGET)


def downgrade() -> None:
    """What was forgotten stays so."""

"""Membership changes are written once, into their history; the outbox says which batches of it are to be published."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

# What is still to be published becomes a batch of its own.
MOVE = """
INSERT INTO segment_change (organization_id, change_id, customer_id, at, cause, entered, "left")
SELECT organization_id, batch_id << 24, customer_id, at, cause,
       ARRAY(SELECT segment_id FROM segment s WHERE s.organization_id = o.organization_id
             AND CASE WHEN length(entered) > slot / 8 THEN get_bit(entered, slot) = 1 ELSE false END ORDER BY slot),
       ARRAY(SELECT segment_id FROM segment s WHERE s.organization_id = o.organization_id
             AND CASE WHEN length("left") > slot / 8 THEN get_bit("left", slot) = 1 ELSE false END ORDER BY slot)
FROM outbox o
"""
DROPPED = (
    sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
    sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("cause", sa.Text(), nullable=False),
    sa.Column("entered", sa.LargeBinary(), nullable=False),
    sa.Column("left", sa.LargeBinary(), nullable=False),
)


def upgrade() -> None:
    op.alter_column("segment_change", "outbox_id", new_column_name="change_id")
    op.alter_column("outbox", "outbox_id", new_column_name="batch_id")
    op.execute(MOVE)
    for column in DROPPED:
        op.drop_column("outbox", column.name)
    op.create_table_comment("outbox", "Batches of rows of segment_change that are not published yet.")
    op.create_table_comment("segment_change", "History of memberships, from which changes are published.")
    op.alter_column("segment_change", "change_id", comment="batch_id << 24, and its number")
    op.alter_column("segment_change", "cause", comment="event, time, backfill or edit")


def downgrade() -> None:
    """Only with nothing left to publish: the older form kept elsewhere what this one keeps in the history."""
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM outbox) THEN RAISE 'run the segmenter until the outbox is empty'; END IF; END $$"
    )
    for column in DROPPED:
        op.add_column("outbox", column.copy())
    op.alter_column("outbox", "batch_id", new_column_name="outbox_id")
    op.alter_column("segment_change", "change_id", new_column_name="outbox_id")

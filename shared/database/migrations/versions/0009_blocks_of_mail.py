"""Blocks of planned messages, claimed as one; what a batch holds stands in its row until mail.sent is out.

That a mail went is then one update of its message, on its own page, touching no index (HOT).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"

# What is under way during the upgrade goes on after it.
LETTERS = """
UPDATE mail_batch SET letters = convert_to((
    SELECT jsonb_agg(jsonb_build_array(message_id, customer_id, email, coalesce(variables, '{}')) ORDER BY position)
    FROM message
    WHERE message.organization_id = mail_batch.organization_id AND message.batch_id = mail_batch.batch_id
)::text, 'UTF8')
WHERE state IN ('claimed', 'accepted')
"""
IDS = """
UPDATE mail_batch SET accepted_at = lease_until, ids = convert_to((
    SELECT jsonb_agg(CASE WHEN sent_at IS NOT NULL THEN coalesce(provider_id, '') END ORDER BY position)
    FROM message
    WHERE message.organization_id = mail_batch.organization_id AND message.batch_id = mail_batch.batch_id
)::text, 'UTF8')
WHERE state = 'accepted'
"""


def upgrade() -> None:
    op.create_table(
        "mail_block",
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=False),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=False, comment="from then on it may be claimed"),
        sa.Column("first_customer", sa.Text(collation="C"), nullable=False),
        sa.Column("last_customer", sa.Text(collation="C"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "campaign_id"],
            ["campaign.organization_id", "campaign.campaign_id"],
            name="mail_block_campaign_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "campaign_id", "wait_until", "first_customer", name=op.f("mail_block_pkey")
        ),
        comment="About a hundred planned messages, neighbours by customer, that nobody has claimed. "
        "A claim removes the row.",
    )
    op.add_column(
        "mail_batch",
        sa.Column(
            "accepted_at", sa.DateTime(timezone=True), nullable=True, comment="when the provider's answer was here"
        ),
    )
    op.add_column(
        "mail_batch",
        sa.Column(
            "letters",
            sa.LargeBinary(),
            nullable=True,
            comment="JSON of who gets what, until mail.sent is out: a second call sends the same",
        ),
    )
    op.add_column(
        "mail_batch",
        sa.Column(
            "ids",
            sa.LargeBinary(),
            nullable=True,
            comment="JSON of the provider's ids by position, until mail.sent is out; null: refused",
        ),
    )
    # Written once and read once: packing it would cost more than it saves.
    op.execute("ALTER TABLE mail_batch ALTER COLUMN letters SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE mail_batch ALTER COLUMN ids SET STORAGE EXTERNAL")
    op.execute(LETTERS)
    op.execute(IDS)
    op.add_column(
        "message",
        sa.Column(
            "queued",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="looked for by itself; else it is in a mail_block, or through",
        ),
    )
    op.add_column(
        "message",
        sa.Column(
            "attempts",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="calls after which it had to be tried again",
        ),
    )
    op.execute("UPDATE message SET queued = false WHERE state NOT IN ('planned', 'waiting')")
    op.drop_index("message_due_idx", table_name="message")
    op.drop_index("message_batch_idx", table_name="message")
    op.create_index(
        "message_due_idx",
        "message",
        ["organization_id", "campaign_id", "wait_until"],
        unique=False,
        postgresql_where=sa.text("queued"),
    )
    op.drop_column("message", "position")
    op.drop_column("message", "variables")
    op.execute("ALTER TABLE message SET (fillfactor = 40)")
    op.execute(
        "COMMENT ON TABLE message IS 'No index names state, and pages are filled to 40 %: "
        "that a mail went is written without touching an index.'"
    )


def downgrade() -> None:
    # What stands in batches under way cannot be told apart again: they are given up.
    op.execute("UPDATE mail_batch SET state = 'failed' WHERE state IN ('claimed', 'accepted')")
    op.execute("COMMENT ON TABLE message IS NULL")
    op.execute("ALTER TABLE message RESET (fillfactor)")
    op.add_column("message", sa.Column("position", sa.SmallInteger(), nullable=True))
    op.add_column("message", sa.Column("variables", postgresql.JSONB(none_as_null=True), nullable=True))
    op.drop_index("message_due_idx", table_name="message")
    op.create_index(
        "message_due_idx",
        "message",
        ["organization_id", "campaign_id", "wait_until"],
        unique=False,
        postgresql_where=sa.text("state IN ('planned', 'waiting')"),
    )
    op.create_index(
        "message_batch_idx",
        "message",
        ["organization_id", "batch_id"],
        unique=False,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.drop_column("message", "attempts")
    op.drop_column("message", "queued")
    op.drop_column("mail_batch", "ids")
    op.drop_column("mail_batch", "letters")
    op.drop_column("mail_batch", "accepted_at")
    op.drop_table("mail_block")

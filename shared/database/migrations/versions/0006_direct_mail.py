"""Mail to one address, outside of campaigns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

INSTANT = sa.DateTime(timezone=True)
ID = sa.Text(collation="C")


def upgrade() -> None:
    op.create_table(
        "direct_mail",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column(
            "mail_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
            comment="also the provider's idempotency key",
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="test or verification"),
        sa.Column("email", sa.Text(), nullable=False, comment="where it goes"),
        sa.Column("campaign_id", ID, nullable=True, comment="of a test: what is sent"),
        sa.Column(
            "customer_id",
            ID,
            nullable=True,
            comment="of a test: as whom it is written; of a verification: whose address it is",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default="planned",
            nullable=False,
            comment="planned, claimed, sent, failed, skipped",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="suppressed, or that the provider refused it"),
        sa.Column("detail", sa.Text(), nullable=True, comment="the same at length: what the provider said last"),
        sa.Column(
            "content_id",
            ID,
            nullable=True,
            comment="what it was rendered from, so that a second call has the same bytes",
        ),
        sa.Column(
            "variables",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="values it was rendered with",
        ),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="calls of the provider"),
        sa.Column(
            "due_at", INSTANT, server_default=sa.text("now()"), nullable=False, comment="when it is looked at next"
        ),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("organization_id", "mail_id", name="direct_mail_pkey"),
        comment="No marketing mail: no gate but suppression holds it, and no campaign counts it.",
    )
    op.create_index(
        "direct_mail_open_idx",
        "direct_mail",
        ["organization_id", "due_at"],
        postgresql_where=sa.text("state IN ('planned', 'claimed')"),
    )
    op.create_index("direct_mail_campaign_idx", "direct_mail", ["organization_id", "campaign_id", "created_at"])
    op.create_index("direct_mail_customer_idx", "direct_mail", ["organization_id", "customer_id", "created_at"])


def downgrade() -> None:
    op.drop_table("direct_mail")

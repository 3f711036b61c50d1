"""Imports of customers at the console, and how far they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "customer_import",
        sa.Column("organization_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("import_id", sa.Uuid, primary_key=True),
        sa.Column("state", sa.Text, nullable=False, comment="running, done or failed"),
        sa.Column("bytes", sa.BigInteger, nullable=False, comment="of the file"),
        sa.Column("bytes_read", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column(
            "published",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="customers whose events are on their way",
        ),
        sa.Column("refused", sa.BigInteger, nullable=False, server_default="0", comment="rows"),
        sa.Column("failure", sa.Text, comment="what stopped it"),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column(
            "told_at",
            INSTANT,
            nullable=False,
            comment="when it last told of itself: one that runs and is silent has died",
        ),
        comment="Imports at the console: how far they are. Nothing of what the files hold.",
    )


def downgrade() -> None:
    op.drop_table("customer_import")

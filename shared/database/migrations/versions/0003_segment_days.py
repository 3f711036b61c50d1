"""How many enter and leave each segment a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "segment_day",
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("segment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="in the organization's time zone"),
        sa.Column("entered", sa.BigInteger(), nullable=False),
        sa.Column("left", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "segment_id", "day", name=op.f("segment_day_pkey")),
        comment="How many entered and left a segment on a day; its size then follows from its size now.",
    )


def downgrade() -> None:
    op.drop_table("segment_day")

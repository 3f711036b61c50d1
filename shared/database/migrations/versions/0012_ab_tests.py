"""A/B tests of subjects: who got which, and which won."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"

NUMBERS = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
COLUMNS = (
    ("ab_winner", sa.SmallInteger(), "which of its subjects goes to the rest; -1: cancelled before"),
    ("ab_decided_at", sa.DateTime(timezone=True), None),
    ("ab_numbers", NUMBERS, "of each subject when the winner was chosen"),
)


def upgrade() -> None:
    for name, kind, comment in COLUMNS:
        op.add_column("campaign", sa.Column(name, kind, nullable=True, comment=comment))
    op.add_column(
        "message",
        sa.Column(
            "variant", sa.SmallInteger(), nullable=True, comment="which subject of an A/B test; null for the rest"
        ),
    )


def downgrade() -> None:
    op.drop_column("message", "variant")
    for name, _, _ in COLUMNS:
        op.drop_column("campaign", name)

"""Which mail carries a unique code."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("coupon_code", sa.Column("message_id", sa.Uuid(), nullable=True, comment="the mail that carries it"))
    op.create_index(
        "coupon_code_message_key",
        "coupon_code",
        ["organization_id", "message_id"],
        unique=True,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("coupon_code_message_key", "coupon_code")
    op.drop_column("coupon_code", "message_id")

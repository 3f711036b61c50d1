"""The adjustments of a sale are found in an index of their own, which is small: windows ask for them of every sale."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_index(
        "ledger_adjustment_idx",
        "ledger",
        ["organization_id", "sale_id"],
        postgresql_where=sa.text("type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')"),
    )


def downgrade() -> None:
    op.drop_index("ledger_adjustment_idx", "ledger")

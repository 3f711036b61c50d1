"""Sales of some days are found without reading all of the ledger, which is written roughly in time's order."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_index("ledger_time_idx", "ledger", ["organization_id", "occurred_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ledger_time_idx", "ledger")

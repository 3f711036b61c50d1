"""The ledger's key begins with the event's id: ids that grow with time are appended to it instead of inserted."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.drop_constraint("ledger_pkey", "ledger")
    op.create_primary_key("ledger_pkey", "ledger", ["organization_id", "event_id", "source"])


def downgrade() -> None:
    op.drop_constraint("ledger_pkey", "ledger")
    op.create_primary_key("ledger_pkey", "ledger", ["organization_id", "source", "event_id"])

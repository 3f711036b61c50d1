"""Leave room on the customers' pages: an update stays on its page and touches no index (HOT)."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE customer SET (fillfactor = 75)")


def downgrade() -> None:
    op.execute("ALTER TABLE customer RESET (fillfactor)")

"""A customer's recent sales, as windows count them, stand on their row; null: nobody knows yet, the ledger says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    comment = "sales of the last days as windows count them; null: ask the ledger"
    op.add_column("customer", sa.Column("recent", sa.LargeBinary, comment=comment))


def downgrade() -> None:
    op.drop_column("customer", "recent")

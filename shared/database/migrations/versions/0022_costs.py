"""What an organization says of its margin and of sending, from which ROI is reckoned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

MARGIN = "hundredths of a percent; null: not told, one is assumed"
SENDING = "of 1,000 mails, in minor units; null: not told, none is counted"


def upgrade() -> None:
    op.add_column("organization", sa.Column("gross_margin", sa.Integer(), nullable=True, comment=MARGIN))
    op.add_column("organization", sa.Column("sending_cost", sa.BigInteger(), nullable=True, comment=SENDING))


def downgrade() -> None:
    op.drop_column("organization", "sending_cost")
    op.drop_column("organization", "gross_margin")

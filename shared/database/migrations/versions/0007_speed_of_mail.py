"""A mailer says how fast it may send."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "mail_rate",
        sa.Column(
            "mails_per_second",
            sa.Float(),
            nullable=True,
            comment="at most, as the last mailer said: for forecasts",
        ),
    )


def downgrade() -> None:
    op.drop_column("mail_rate", "mails_per_second")

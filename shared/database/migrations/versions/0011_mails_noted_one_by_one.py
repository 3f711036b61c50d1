"""Which mails of a batch were taken, for providers that know no idempotency key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column(
        "mail_batch",
        sa.Column(
            "done",
            postgresql.ARRAY(sa.SmallInteger()),
            server_default="{}",
            nullable=False,
            comment="positions taken so far, where no key tells",
        ),
    )


def downgrade() -> None:
    op.drop_column("mail_batch", "done")

"""Users of the console and their sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

ID = sa.Text(collation="C")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "console_user",
        sa.Column("organization_id", ID, primary_key=True),
        sa.Column("email", ID, primary_key=True, comment="in lower case"),
        sa.Column("name", sa.Text, nullable=False, server_default=""),
        sa.Column("role", sa.Text, nullable=False, comment="viewer, marketer or owner"),
        sa.Column("password_hash", sa.Text, nullable=False, comment="argon2id"),
        sa.Column(
            "failures",
            sa.Integer,
            nullable=False,
            server_default="0",
            comment="wrong passwords since the last right one",
        ),
        sa.Column("locked_until", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "console_session",
        sa.Column("organization_id", ID, primary_key=True),
        sa.Column("token_hash", sa.LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
        sa.Column("email", ID, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        comment="Who is signed in at the console.",
    )
    op.create_index("console_session_email_idx", "console_session", ["organization_id", "email"])


def downgrade() -> None:
    op.drop_table("console_session")
    op.drop_table("console_user")

"""Opens, clicks and verified addresses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

INSTANT = sa.DateTime(timezone=True)
ID = sa.Text(collation="C")


def upgrade() -> None:
    op.add_column(
        "organization",
        sa.Column(
            "tracks_mail",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="mails tell when they are opened and left by a link",
        ),
    )
    op.add_column(
        "organization",
        sa.Column(
            "verifies_since",
            INSTANT,
            nullable=True,
            comment="addresses that came since then get a verification mail; null: none does",
        ),
    )
    op.add_column("customer", sa.Column("email_at", INSTANT, nullable=True, comment="since when it is this address"))
    op.create_index(
        "customer_unverified_idx",
        "customer",
        ["organization_id", "email_at"],
        postgresql_where=sa.text("email IS NOT NULL AND NOT email_verified"),
    )
    op.create_table(
        "mail_click",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("link_digest", sa.LargeBinary(), nullable=False, comment="MD5 of the link, which may be long"),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("link", sa.Text(), nullable=False, comment="where it led"),
        sa.Column("told", sa.Boolean(), nullable=False, comment="the request itself gave a machine away"),
        sa.Column(
            "machine", sa.Boolean(), nullable=True, comment="null until what else was clicked at that time is known"
        ),
        sa.PrimaryKeyConstraint("organization_id", "message_id", "link_digest", "at", name="mail_click_pkey"),
    )
    op.create_index(
        "mail_click_open_idx", "mail_click", ["organization_id", "at"], postgresql_where=sa.text("machine IS NULL")
    )
    op.create_table(
        "mail_news",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False, comment="without the installation's prefix"),
        sa.Column("record_key", sa.LargeBinary(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False, comment="as Kafka is to hold it"),
        sa.Column("noted_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "event_id", name="mail_news_pkey"),
        comment="Written with what it tells of, published, taken out: "
        "what a mail brought is not lost while Kafka is away.",
    )


def downgrade() -> None:
    op.drop_table("mail_news")
    op.drop_table("mail_click")
    op.drop_index("customer_unverified_idx", "customer")
    op.drop_column("customer", "email_at")
    op.drop_column("organization", "verifies_since")
    op.drop_column("organization", "tracks_mail")

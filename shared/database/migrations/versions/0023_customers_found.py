"""Customers are found by the beginning of their address and of each word of their name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

NAME_WORDS = (
    "array_to_tsvector(string_to_array((organization_id || '/') || "
    "replace(translate(lower(name), ' .-''', '    '), ' ', (' ' || organization_id) || '/'), ' '))"
)


def upgrade() -> None:
    op.drop_index("customer_email_idx", table_name="customer")
    op.create_index(
        "customer_email_idx",
        "customer",
        ["organization_id", sa.literal_column("lower(email)").label("address")],
        postgresql_ops={"address": "text_pattern_ops"},
    )
    named = sa.text("name IS NOT NULL")
    op.create_index(
        "customer_name_idx", "customer", [sa.text(NAME_WORDS)], postgresql_using="gin", postgresql_where=named
    )


def downgrade() -> None:
    op.drop_index("customer_name_idx", table_name="customer")
    op.drop_index("customer_email_idx", table_name="customer")
    op.create_index("customer_email_idx", "customer", ["organization_id", sa.text("lower(email)")])

"""Coupons, their unique codes, grants and uses, and the outbox of their commits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "coupon",
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False, comment="in capitals, without blanks and dashes"),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("type", sa.Text(), nullable=False, comment="percentage or fixed"),
        sa.Column("value", sa.BigInteger(), nullable=False, comment="hundredths of a percent, or minor units"),
        sa.Column("minimum_purchase", sa.BigInteger(), nullable=True, comment="minor units"),
        sa.Column("maximum_discount", sa.BigInteger(), nullable=True, comment="minor units; percentage only"),
        sa.Column("limit_per_customer", sa.Integer(), nullable=True),
        sa.Column("limit_total", sa.BigInteger(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "valid_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the first instant at which it does not count any more",
        ),
        sa.Column(
            "hours_from",
            sa.SmallInteger(),
            nullable=True,
            comment="minutes after midnight, in the organization's time zone",
        ),
        sa.Column(
            "hours_until",
            sa.SmallInteger(),
            nullable=True,
            comment="the same; before hours_from where the hours go over midnight",
        ),
        sa.Column(
            "weekdays", postgresql.ARRAY(sa.SmallInteger()), nullable=True, comment="1 Monday to 7 Sunday; null for all"
        ),
        sa.Column("include_products", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("include_categories", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("exclude_products", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("exclude_categories", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("stores", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("segment_id", sa.Text(collation="C"), nullable=True),
        sa.Column("first_purchase_only", sa.Boolean(), server_default="false", nullable=False),
        sa.Column(
            "grants_only",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="only for customers to whom it was granted",
        ),
        sa.Column(
            "unique_only", sa.Boolean(), server_default="false", nullable=False, comment="only by its unique codes"
        ),
        sa.Column("state", sa.Text(), server_default="active", nullable=False, comment="active, paused or archived"),
        sa.Column("redemptions", sa.BigInteger(), server_default="0", nullable=False, comment="not given back"),
        sa.Column(
            "held",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="holds neither committed, released nor seen to run out",
        ),
        sa.Column(
            "over_limit",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="redemptions of offline tills beyond a limit",
        ),
        sa.Column("discount_given", sa.BigInteger(), server_default="0", nullable=False, comment="minor units"),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "code", name=op.f("coupon_pkey")),
    )
    op.create_index(
        "coupon_segment_idx",
        "coupon",
        ["organization_id", "segment_id"],
        unique=False,
        postgresql_where=sa.text("segment_id IS NOT NULL"),
    )
    op.create_table(
        "coupon_code",
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False, comment="unique: for one use"),
        sa.Column("coupon_code", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=True, comment="whose it is; null for whoever has it"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "code", name=op.f("coupon_code_pkey")),
    )
    op.create_index("coupon_code_coupon_idx", "coupon_code", ["organization_id", "coupon_code"], unique=False)
    op.create_index(
        "coupon_code_customer_idx",
        "coupon_code",
        ["organization_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.create_table(
        "coupon_grant",
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("coupon_code", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="of the grant itself; null for as long as the coupon",
        ),
        sa.Column("granted_by", sa.Text(), nullable=False, comment="key:ID or campaign:ID"),
        sa.Column("granted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "coupon_code", "customer_id", name=op.f("coupon_grant_pkey")),
    )
    op.create_index("coupon_grant_customer_idx", "coupon_grant", ["organization_id", "customer_id"], unique=False)
    op.create_table(
        "coupon_use",
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False, comment="as used: the coupon's own, or a unique one"),
        sa.Column("sale_id", sa.Text(collation="C"), nullable=False),
        sa.Column("coupon_code", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="held, released, expired, redeemed or given_back"),
        sa.Column(
            "customer_id",
            sa.Text(collation="C"),
            nullable=True,
            comment="who it is after merges; null for nobody or somebody erased",
        ),
        sa.Column("store_id", sa.Text(collation="C"), nullable=True),
        sa.Column("terminal_id", sa.Text(collation="C"), nullable=True),
        sa.Column("discount", sa.BigInteger(), nullable=False, comment="minor units"),
        sa.Column("total", sa.BigInteger(), nullable=True, comment="minor units: of the basket that was held"),
        sa.Column(
            "lines",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="how the discount is spread: index, discount",
        ),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="of the hold"),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("over_limit", sa.Boolean(), server_default="false", nullable=False),
        sa.Column(
            "in_ledger",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="the ledger has its coupon.redeemed",
        ),
        sa.PrimaryKeyConstraint("organization_id", "code", "sale_id", name=op.f("coupon_use_pkey")),
    )
    op.create_index(
        "coupon_use_customer_idx",
        "coupon_use",
        ["organization_id", "customer_id", "coupon_code"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.create_index(
        "coupon_use_held_idx",
        "coupon_use",
        ["organization_id", "coupon_code", "expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "coupon_use_redeemed_idx",
        "coupon_use",
        ["organization_id", "coupon_code", "redeemed_at"],
        unique=False,
        postgresql_where=sa.text("redeemed_at IS NOT NULL"),
    )
    op.create_table(
        "redemption_outbox",
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("sale_id", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "code", "sale_id", name=op.f("redemption_outbox_pkey")),
        comment="Commits whose coupon.redeemed is not yet in Kafka.",
    )


def downgrade() -> None:
    op.drop_table("redemption_outbox")
    op.drop_index(
        "coupon_use_redeemed_idx", table_name="coupon_use", postgresql_where=sa.text("redeemed_at IS NOT NULL")
    )
    op.drop_index("coupon_use_held_idx", table_name="coupon_use", postgresql_where=sa.text("state = 'held'"))
    op.drop_index(
        "coupon_use_customer_idx", table_name="coupon_use", postgresql_where=sa.text("customer_id IS NOT NULL")
    )
    op.drop_table("coupon_use")
    op.drop_index("coupon_grant_customer_idx", table_name="coupon_grant")
    op.drop_table("coupon_grant")
    op.drop_index(
        "coupon_code_customer_idx", table_name="coupon_code", postgresql_where=sa.text("customer_id IS NOT NULL")
    )
    op.drop_index("coupon_code_coupon_idx", table_name="coupon_code")
    op.drop_table("coupon_code")
    op.drop_index("coupon_segment_idx", table_name="coupon", postgresql_where=sa.text("segment_id IS NOT NULL"))
    op.drop_table("coupon")

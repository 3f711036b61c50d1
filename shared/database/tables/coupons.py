"""Coupons: rules, unique codes, grants, and their uses. Whoever changes uses of a coupon holds its row's lock."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

coupon = Table(
    "coupon",
    metadata,
    organization_key(),
    Column("code", Id, primary_key=True, comment="in capitals, without blanks and dashes"),
    required("name", Text, server_default=""),
    required("description", Text, server_default=""),
    required("type", Text, comment="percentage or fixed"),
    required("value", BigInteger, comment="hundredths of a percent, or minor units"),
    Column("minimum_purchase", BigInteger, comment="minor units"),
    Column("maximum_discount", BigInteger, comment="minor units; percentage only"),
    Column("limit_per_customer", Integer),
    Column("limit_total", BigInteger),
    Column("valid_from", Instant),
    Column("valid_until", Instant, comment="the first instant at which it does not count any more"),
    Column("hours_from", SmallInteger, comment="minutes after midnight, in the organization's time zone"),
    Column("hours_until", SmallInteger, comment="the same; before hours_from where the hours go over midnight"),
    Column("weekdays", ARRAY(SmallInteger), comment="1 Monday to 7 Sunday; null for all"),
    required("include_products", ARRAY(Text), server_default="{}"),
    required("include_categories", ARRAY(Text), server_default="{}"),
    required("exclude_products", ARRAY(Text), server_default="{}"),
    required("exclude_categories", ARRAY(Text), server_default="{}"),
    required("stores", ARRAY(Text), server_default="{}"),
    Column("segment_id", Id),
    required("first_purchase_only", Boolean, server_default="false"),
    required("grants_only", Boolean, server_default="false", comment="only for customers to whom it was granted"),
    required("unique_only", Boolean, server_default="false", comment="only by its unique codes"),
    required("state", Text, server_default="active", comment="active, paused or archived"),
    # Counters: sums of coupon_use.
    required("redemptions", BigInteger, server_default="0", comment="not given back"),
    required("held", BigInteger, server_default="0", comment="holds neither committed, released nor seen to run out"),
    required("over_limit", BigInteger, server_default="0", comment="redemptions of offline tills beyond a limit"),
    required("discount_given", BigInteger, server_default="0", comment="minor units"),
    required("version", Integer, server_default="1"),
    required("created_at", Instant, server_default=func.now()),
    required("updated_at", Instant, server_default=func.now()),
    Index("coupon_segment_idx", "organization_id", "segment_id", postgresql_where=text("segment_id IS NOT NULL")),
)

coupon_code = Table(
    "coupon_code",
    metadata,
    organization_key(),
    Column("code", Id, primary_key=True, comment="unique: for one use"),
    required("coupon_code", Id),
    Column("customer_id", Id, comment="whose it is; null for whoever has it"),
    Column("expires_at", Instant),
    required("created_at", Instant, server_default=func.now()),
    Column("message_id", Uuid, comment="the mail that carries it"),
    Index("coupon_code_coupon_idx", "organization_id", "coupon_code"),
    Index(
        "coupon_code_message_key",
        "organization_id",
        "message_id",
        unique=True,
        postgresql_where=text("message_id IS NOT NULL"),
    ),
    Index(
        "coupon_code_customer_idx", "organization_id", "customer_id", postgresql_where=text("customer_id IS NOT NULL")
    ),
)

coupon_grant = Table(
    "coupon_grant",
    metadata,
    organization_key(),
    Column("coupon_code", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("expires_at", Instant, comment="of the grant itself; null for as long as the coupon"),
    required("granted_by", Text, comment="key:ID or campaign:ID"),
    required("granted_at", Instant, server_default=func.now()),
    Index("coupon_grant_customer_idx", "organization_id", "customer_id"),
)

coupon_use = Table(
    "coupon_use",
    metadata,
    organization_key(),
    Column("code", Id, primary_key=True, comment="as used: the coupon's own, or a unique one"),
    Column("sale_id", Id, primary_key=True),
    required("coupon_code", Id),
    required("state", Text, comment="held, released, expired, redeemed or given_back"),
    Column("customer_id", Id, comment="who it is after merges; null for nobody or somebody erased"),
    Column("store_id", Id),
    Column("terminal_id", Id),
    required("discount", BigInteger, comment="minor units"),
    Column("total", BigInteger, comment="minor units: of the basket that was held"),
    Column("lines", JSONB(none_as_null=True), comment="how the discount is spread: index, discount"),
    Column("held_at", Instant),
    Column("expires_at", Instant, comment="of the hold"),
    Column("redeemed_at", Instant),
    required("over_limit", Boolean, server_default="false"),
    required("in_ledger", Boolean, server_default="false", comment="the ledger has its coupon.redeemed"),
    Index(
        "coupon_use_customer_idx",
        "organization_id",
        "customer_id",
        "coupon_code",
        postgresql_where=text("customer_id IS NOT NULL"),
    ),
    Index(
        "coupon_use_redeemed_idx",
        "organization_id",
        "coupon_code",
        "redeemed_at",
        postgresql_where=text("redeemed_at IS NOT NULL"),
    ),
    Index(
        "coupon_use_held_idx", "organization_id", "coupon_code", "expires_at", postgresql_where=text("state = 'held'")
    ),
)

redemption_outbox = Table(
    "redemption_outbox",
    metadata,
    organization_key(),
    Column("batch_id", BigInteger, Identity(always=True), primary_key=True),
    required("codes", ARRAY(Id)),
    required("sales", ARRAY(Id), comment="each with the code of the same place"),
    comment="Batches of commits whose coupon.redeemed is not yet in Kafka.",
)

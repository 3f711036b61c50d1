"""Segments, their changes, and the outbox from which changes are published."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Float,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

segment = Table(
    "segment",
    metadata,
    organization_key(),
    Column("segment_id", Id, primary_key=True),
    required("name", Text),
    required("description", Text, server_default=""),
    required("color", Text, server_default="#4f7cac"),
    required("kind", Text, comment="dynamic or static"),
    Column("criteria", JSONB(none_as_null=True), comment="null for static ones"),
    required("slot", Integer, comment="its bit in customer.memberships"),
    required("state", Text, server_default="live", comment="filling or live"),
    required("progress", Float, server_default="1", comment="of the filling, 0 to 1"),
    required("member_count", BigInteger, server_default="0"),
    required("version", Integer, server_default="1"),
    required("created_at", Instant, server_default=func.now()),
    required("updated_at", Instant, server_default=func.now()),
    UniqueConstraint("organization_id", "slot"),
    Index(
        "segment_name_key",
        "organization_id",
        "name",
        unique=True,
        postgresql_where=text("state <> 'deleting'"),
    ),
)

segment_day = Table(
    "segment_day",
    metadata,
    organization_key(),
    Column("segment_id", Id, primary_key=True),
    Column("day", Date, primary_key=True, comment="in the organization's time zone"),
    required("entered", BigInteger),
    required("left", BigInteger),
    comment="How many entered and left a segment on a day; its size then follows from its size now.",
)

static_member = Table(
    "static_member",
    metadata,
    organization_key(),
    Column("segment_id", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    required("added_at", Instant, server_default=func.now()),
    Index("static_member_customer_idx", "organization_id", "customer_id"),
)

PLACES: Final = 24
"""Bits that number the changes of one batch: a change's id is its batch's, moved by so many, and its number in it."""

outbox = Table(
    "outbox",
    metadata,
    organization_key(),
    Column("batch_id", BigInteger, Identity(always=True), primary_key=True),
    comment="Batches of rows of segment_change that are not published yet.",
)

segment_change = Table(
    "segment_change",
    metadata,
    organization_key(),
    Column("change_id", BigInteger, primary_key=True, autoincrement=False, comment="batch_id << 24, and its number"),
    required("customer_id", Id),
    required("at", Instant),
    required("cause", Text, comment="event, time, backfill or edit"),
    required("entered", ARRAY(Id), comment="segment ids"),
    required("left", ARRAY(Id), comment="segment ids"),
    Index("segment_change_customer_idx", "organization_id", "customer_id", "at"),
    comment="History of memberships, from which changes are published.",
)

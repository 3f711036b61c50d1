"""The ledger: every event that counts, once. All numbers can be computed from it again."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

ledger = Table(
    "ledger",
    metadata,
    organization_key(),
    # In this order: identifiers that grow with time go to the end of the key's index, which costs a quarter.
    Column("event_id", Id, primary_key=True, comment="with source the identity of the event"),
    Column("source", Id, primary_key=True),
    required("type", Id),
    required("occurred_at", Instant),
    Column("customer_id", Id, comment="whom it counts for: after merges; null for nobody or somebody erased"),
    Column("published_customer_id", Id, comment="whom the event named, where a merge made that somebody else"),
    Column("sale_id", Id),
    Column("entry", Id, comment="what it is within its sale: sale, void, refund:ID, redeem:CODE or reverse:CODE"),
    Column("store_id", Id),
    Column("terminal_id", Id),
    Column("amount", BigInteger, comment="minor units: sale total, refund total or discount of a redemption"),
    Column("discount", BigInteger, comment="minor units, sales only"),
    Column("lines", Text, comment="lines of a sale or refund as JSON, not parsed on the way in"),
    Column("payload", JSONB, comment="data of a customer's event"),
    required("recorded_at", Instant, server_default=func.now()),
    # One sale a sale_id, one refund a refund_id, one void, one redemption a code; the way from a refund to its sale.
    Index(
        "ledger_sale_entry_key",
        "organization_id",
        "sale_id",
        "entry",
        unique=True,
        postgresql_where=text("sale_id IS NOT NULL"),
    ),
    # What was given back of a sale: asked for every sale of a window, and few sales have any.
    Index(
        "ledger_adjustment_idx",
        "organization_id",
        "sale_id",
        postgresql_where=text("type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')"),
    ),
    # Recompute of one customer, timelines.
    Index("ledger_customer_idx", "organization_id", "customer_id", "occurred_at"),
    # Sales of some days. By ranges of pages: a few kilobytes that cost an insert nothing measurable.
    Index("ledger_time_idx", "organization_id", "occurred_at", postgresql_using="brin"),
)

waiting_adjustment = Table(
    "waiting_adjustment",
    metadata,
    organization_key(),
    Column("sale_id", Id, primary_key=True),
    comment="Sales whose refund or void came first: the sale, when it comes, is recomputed instead of added.",
)

dead_letter = Table(
    "dead_letter",
    metadata,
    organization_key(),
    Column("topic", Id, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary),
    required("value", LargeBinary, comment="the original bytes"),
    required("reason", Text, comment="one of a few stable codes"),
    required("message", Text, comment="for a person: the field and what to do"),
    required("recorded_at", Instant, server_default=func.now()),
    Column("published_at", Instant, comment="when it stood in crm.dead-letter.v1"),
    Column("replayed_at", Instant),
    Index("dead_letter_unpublished_idx", "organization_id", postgresql_where=text("published_at IS NULL")),
)

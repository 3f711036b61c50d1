"""Mail to one address that belongs to no campaign's ledger: test sends, verifications."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

direct_mail = Table(
    "direct_mail",
    metadata,
    organization_key(),
    Column(
        "mail_id",
        Uuid,
        primary_key=True,
        server_default=text("gen_random_uuid()"),
        comment="also the provider's idempotency key",
    ),
    required("kind", Text, comment="test or verification"),
    required("email", Text, comment="where it goes"),
    Column("campaign_id", Id, comment="of a test: what is sent"),
    Column("customer_id", Id, comment="of a test: as whom it is written; of a verification: whose address it is"),
    required("state", Text, server_default="planned", comment="planned, claimed, sent, failed, skipped"),
    Column("reason", Text, comment="suppressed, or that the provider refused it"),
    Column("detail", Text, comment="the same at length: what the provider said last"),
    Column("content_id", Id, comment="what it was rendered from, so that a second call has the same bytes"),
    Column("variables", JSONB(none_as_null=True), comment="values it was rendered with"),
    Column("provider_id", Text),
    required("attempts", Integer, server_default="0", comment="calls of the provider"),
    required("due_at", Instant, server_default=func.now(), comment="when it is looked at next"),
    required("created_at", Instant, server_default=func.now()),
    Column("sent_at", Instant),
    Index(
        "direct_mail_open_idx",
        "organization_id",
        "due_at",
        postgresql_where=text("state IN ('planned', 'claimed')"),
    ),
    Index("direct_mail_campaign_idx", "organization_id", "campaign_id", "created_at"),
    Index("direct_mail_customer_idx", "organization_id", "customer_id", "created_at"),
    comment="No marketing mail: no gate but suppression holds it, and no campaign counts it.",
)

"""Campaigns and the ledger of mail: one row for each mail that was ever planned, with its state and its reason."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

campaign = Table(
    "campaign",
    metadata,
    organization_key(),
    Column("campaign_id", Id, primary_key=True),
    required("name", Text),
    required("type", Text, comment="promotional, newsletter, birthday, anniversary, follow_up or welcome"),
    required("subject", Text),
    required("preview_text", Text, server_default=""),
    required("body", Text),
    required("body_format", Text, server_default="markdown"),
    Column("coupon_code", Id),
    required("unique_codes", Boolean, server_default="false"),
    Column("grant_days", Integer),
    required("audience", JSONB, server_default="{}"),
    Column("trigger", JSONB(none_as_null=True), comment="null for a one-off"),
    required("holdout_percent", SmallInteger, server_default="0"),
    required("expires_after_hours", Integer, server_default="72"),
    Column("priority", SmallInteger, comment="smaller goes first; null takes the type's"),
    required("respect_contact_time", Boolean, server_default="true"),
    Column("ab_test", JSONB(none_as_null=True)),
    required("state", Text, server_default="draft"),
    Column("error", Text, comment="why it failed or paused itself"),
    Column("send_at", Instant, comment="of a scheduled one-off"),
    Column("activated_at", Instant, comment="an automation follows what happens from here on"),
    required("version", Integer, server_default="1"),
    required("created_at", Instant, server_default=func.now()),
    required("updated_at", Instant, server_default=func.now()),
)

mail_batch = Table(
    "mail_batch",
    metadata,
    organization_key(),
    Column("batch_id", Uuid, primary_key=True, comment="the provider's idempotency key"),
    required("campaign_id", Id),
    required("content", JSONB, comment="what the batch was rendered with, so that a retry sends the same bytes"),
    required("attempts", Integer, server_default="0"),
    required("state", Text, comment="claimed, accepted or failed"),
    Column("retry_at", Instant),
    required("claimed_at", Instant, server_default=func.now()),
    Column("lease_until", Instant, comment="another sender may take it over from then on"),
    Index("mail_batch_open_idx", "organization_id", "retry_at", postgresql_where=text("state = 'claimed'")),
)

message = Table(
    "message",
    metadata,
    organization_key(),
    Column("campaign_id", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("occasion", Id, primary_key=True, comment="what makes it due: send, birthday-2026, segment-entry-ID"),
    required("message_id", Uuid, server_default=text("gen_random_uuid()")),
    required("state", Text, comment="planned, waiting, claimed, sent, delivered, bounced, complained, failed, skipped"),
    Column("reason", Text, comment="why it waits, was skipped or failed"),
    required("planned_at", Instant, server_default=func.now()),
    Column("wait_until", Instant),
    Column("expires_at", Instant),
    Column("batch_id", Uuid),
    Column("position", SmallInteger, comment="within its batch"),
    Column("email", Text, comment="where it went"),
    Column("variables", JSONB(none_as_null=True), comment="values it was rendered with"),
    Column("provider_id", Text),
    Column("sent_at", Instant),
    Column("delivered_at", Instant),
    Column("opened_at", Instant),
    Column("machine_opened_at", Instant),
    Column("clicked_at", Instant),
    Column("bounced_at", Instant),
    Column("complained_at", Instant),
    Column("unsubscribed_at", Instant),
    required("updated_at", Instant, server_default=func.now()),
    ForeignKeyConstraint(
        ["organization_id", "campaign_id"],
        ["campaign.organization_id", "campaign.campaign_id"],
        name="message_campaign_fkey",
        ondelete="CASCADE",
    ),
    Index("message_id_key", "organization_id", "message_id", unique=True),
    Index(
        "message_due_idx",
        "organization_id",
        "wait_until",
        postgresql_where=text("state IN ('planned', 'waiting')"),
    ),
    Index("message_batch_idx", "organization_id", "batch_id", postgresql_where=text("state = 'claimed'")),
    Index("message_customer_idx", "organization_id", "customer_id", "planned_at"),
)

suppression = Table(
    "suppression",
    metadata,
    organization_key(),
    Column("email", Id, primary_key=True, comment="lower case"),
    required("reason", Text, comment="bounce, complaint, unsubscribe or import"),
    required("at", Instant, server_default=func.now()),
)

"""Campaigns and the ledger of mail: one row for each mail that was ever planned, with its state and its reason."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
    Column("ab_winner", SmallInteger, comment="which of its subjects goes to the rest; -1: cancelled before"),
    Column("ab_decided_at", Instant),
    Column("ab_numbers", JSONB(none_as_null=True), comment="of each subject when the winner was chosen"),
    required("state", Text, server_default="draft"),
    Column("error", Text, comment="why it failed or paused itself"),
    Column("send_at", Instant, comment="of a scheduled one-off"),
    Column("activated_at", Instant, comment="an automation follows what happens from here on"),
    Column("planned_at", Instant, comment="of a one-off: when its audience was written into message"),
    required("failures_in_row", Integer, server_default="0", comment="batches the provider turned down one by one"),
    required("version", Integer, server_default="1"),
    required("created_at", Instant, server_default=func.now()),
    required("updated_at", Instant, server_default=func.now()),
)

mail_content = Table(
    "mail_content",
    metadata,
    organization_key(),
    Column("content_id", Id, primary_key=True, comment="SHA-256 of the content"),
    required("content", JSONB, comment="a campaign as it was when mails were rendered: sender, subject and bodies"),
    comment="Compiled campaigns, kept so that a batch sent again has the same bytes.",
)

mail_batch = Table(
    "mail_batch",
    metadata,
    organization_key(),
    Column("batch_id", Uuid, primary_key=True, comment="the provider's idempotency key"),
    required("campaign_id", Id),
    required("content_id", Id),
    required(
        "state", Text, comment="claimed, accepted (all told by the provider), published (mail.sent is out), failed"
    ),
    required("owner", Text, comment="the mailer that sends it"),
    required("lease_until", Instant, comment="from then on another mailer may call again, with the same key"),
    required("attempts", Integer, server_default="1", comment="calls of the provider, the present one included"),
    required("claimed_at", Instant),
    required("done", ARRAY(SmallInteger), server_default="{}", comment="positions taken so far, where no key tells"),
    Column("accepted_at", Instant, comment="when the provider's answer was here"),
    Column("error", Text, comment="what the provider said last"),
    Column(
        "letters", LargeBinary, comment="JSON of who gets what, until mail.sent is out: a second call sends the same"
    ),
    Column("ids", LargeBinary, comment="JSON of the provider's id of each message that went; null where it told none"),
    Index(
        "mail_batch_open_idx",
        "organization_id",
        "lease_until",
        postgresql_where=text("state IN ('claimed', 'accepted')"),
    ),
)

mail_block = Table(
    "mail_block",
    metadata,
    organization_key(),
    Column("campaign_id", Id, primary_key=True),
    Column("wait_until", Instant, primary_key=True, comment="from then on it may be claimed"),
    Column("first_customer", Id, primary_key=True),
    required("last_customer", Id),
    ForeignKeyConstraint(
        ["organization_id", "campaign_id"],
        ["campaign.organization_id", "campaign.campaign_id"],
        name="mail_block_campaign_fkey",
        ondelete="CASCADE",
    ),
    comment="About a hundred planned messages, neighbours by customer, that nobody has claimed. "
    "A claim removes the row.",
)

mail_slot = Table(
    "mail_slot",
    metadata,
    organization_key(),
    Column("customer_id", Id, primary_key=True),
    required("last_on", Date, comment="the customer's local day on which they last had a marketing mail"),
    Column("previous_on", Date, comment="the one before, given back when that mail fails"),
    Column("campaign_id", Id, comment="with the occasion: which mail took the day"),
    Column("occasion", Id),
    comment="One row a customer: whoever moves it forward may send, so no two mailers fill the same period. "
    "Pages are filled to 50 %: that is written without touching the index.",
)

mail_rate = Table(
    "mail_rate",
    metadata,
    organization_key(),
    Column("provider", Id, primary_key=True),
    required("next_at", Instant, comment="when the next call may begin"),
    Column("mails_per_second", Float, comment="at most, as the last mailer said: for forecasts"),
    comment="One rate limit for all mailers. An account is shared by organizations: its row has organization_id ''.",
)

message = Table(
    "message",
    metadata,
    organization_key(),
    Column("campaign_id", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("occasion", Id, primary_key=True, comment="what makes it due: send, birthday-2026, entered-EVENT"),
    required("message_id", Uuid, server_default=text("gen_random_uuid()")),
    required("state", Text, comment="planned, waiting, claimed, sent, delivered, bounced, complained, failed, skipped"),
    Column("reason", Text, comment="why it waits, was skipped or failed: one of a few codes"),
    Column("detail", Text, comment="the same at length, where there is more to say"),
    required("planned_at", Instant, server_default=func.now()),
    required("wait_until", Instant, server_default=func.now(), comment="when it is looked at next"),
    Column("expires_at", Instant, comment="not sent from then on"),
    required(
        "queued", Boolean, server_default="true", comment="looked for by itself; else it is in a mail_block, or through"
    ),
    required("attempts", SmallInteger, server_default="0", comment="calls after which it had to be tried again"),
    Column("variant", SmallInteger, comment="which subject of an A/B test; null for the rest"),
    Column("batch_id", Uuid, comment="what it went with: mail_batch.ids has the provider's id"),
    Column("email", Text, comment="where it went; of what is not sent yet, where it was to go when it was planned"),
    Column("provider_id", Text, comment="as the provider's news of it said"),
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
        "campaign_id",
        "wait_until",
        postgresql_where=text("queued"),
    ),
    Index("message_customer_idx", "organization_id", "customer_id", "planned_at"),
    comment="No index names state, and pages are filled to 40 %: "
    "that a mail went is written without touching an index.",
)

suppression = Table(
    "suppression",
    metadata,
    organization_key(),
    Column("email", Id, primary_key=True, comment="lower case"),
    required("reason", Text, comment="bounce, complaint, unsubscribe or import"),
    required("at", Instant, server_default=func.now()),
)

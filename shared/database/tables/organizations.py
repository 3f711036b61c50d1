"""Organizations, their keys and their audit log."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Integer, LargeBinary, Table, Text, Time, func
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

organization = Table(
    "organization",
    metadata,
    organization_key(),
    required("name", Text),
    required("currency", Text, comment="ISO 4217"),
    required("time_zone", Text, comment="IANA name"),
    required("sender_name", Text, server_default=""),
    required("sender_email", Text, server_default=""),
    required("postal_address", Text, server_default=""),
    Column("quiet_from", Time, comment="no marketing mail from this local time of day"),
    Column("quiet_until", Time, comment="until this one"),
    required(
        "tracks_mail", Boolean, server_default="true", comment="mails tell when they are opened and left by a link"
    ),
    Column(
        "verifies_since", Instant, comment="addresses that came since then get a verification mail; null: none does"
    ),
    Column("gross_margin", Integer, comment="hundredths of a percent; null: not told, one is assumed"),
    Column("sending_cost", BigInteger, comment="of 1,000 mails, in minor units; null: not told, none is counted"),
    required("created_at", Instant, server_default=func.now()),
    required("updated_at", Instant, server_default=func.now()),
)

api_key = Table(
    "api_key",
    metadata,
    organization_key(),
    Column("key_id", Id, primary_key=True),
    required("role", Text, comment="terminal, viewer, marketer or owner"),
    required("name", Text, server_default=""),
    required("secret_hash", LargeBinary, comment="SHA-256 of a 256-bit random secret"),
    required("created_at", Instant, server_default=func.now()),
    Column("revoked_at", Instant),
)

console_user = Table(
    "console_user",
    metadata,
    organization_key(),
    Column("email", Id, primary_key=True, comment="in lower case"),
    required("name", Text, server_default=""),
    required("role", Text, comment="viewer, marketer or owner"),
    required("password_hash", Text, comment="argon2id"),
    required("failures", Integer, server_default="0", comment="wrong passwords since the last right one"),
    Column("locked_until", Instant),
    required("created_at", Instant, server_default=func.now()),
)

console_session = Table(
    "console_session",
    metadata,
    organization_key(),
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
    required("email", Id),
    required("seen_at", Instant),
    Index("console_session_email_idx", "organization_id", "email"),
    comment="Who is signed in at the console.",
)

audit_log = Table(
    "audit_log",
    metadata,
    organization_key(),
    Column("audit_id", BigInteger, Identity(always=True), primary_key=True),
    required("at", Instant, server_default=func.now()),
    required("actor", Text, comment="key id or user"),
    required("action", Text, comment="such as segment.created"),
    required("subject", Text, comment="what was changed: its kind and id"),
    required("detail", JSONB, server_default="{}"),
)

idempotency = Table(
    "idempotency",
    metadata,
    organization_key(),
    Column("request_key", Id, primary_key=True, comment="the caller's Idempotency-Key"),
    required("request_digest", LargeBinary, comment="SHA-256 of the request, which must be the same again"),
    required("made", Id, comment="the id of what the request made"),
    required("created_at", Instant, server_default=func.now()),
    comment="Requests that made something, for a day: sent again they make nothing.",
)

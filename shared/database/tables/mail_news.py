"""What comes back about mails: clicks until they are understood, and events until Kafka has them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, LargeBinary, Table, Text, Uuid, func, text

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

mail_click = Table(
    "mail_click",
    metadata,
    organization_key(),
    Column("message_id", Uuid, primary_key=True),
    Column("link_digest", LargeBinary, primary_key=True, comment="MD5 of the link, which may be long"),
    Column("at", Instant, primary_key=True),
    required("link", Text, comment="where it led"),
    required("told", Boolean, comment="the request itself gave a machine away"),
    Column("machine", Boolean, comment="null until what else was clicked at that time is known"),
    Index("mail_click_open_idx", "organization_id", "at", postgresql_where=text("machine IS NULL")),
)

mail_news = Table(
    "mail_news",
    metadata,
    organization_key(),
    Column("event_id", Id, primary_key=True),
    required("topic", Text, comment="without the installation's prefix"),
    required("record_key", LargeBinary),
    required("event", LargeBinary, comment="as Kafka is to hold it"),
    required("noted_at", Instant, server_default=func.now()),
    comment="Written with what it tells of, published, taken out: what a mail brought is not lost while Kafka is away.",
)

"""Customers: profile, stats and memberships in one row, because an event changes them together."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from shared.database.tables.columns import Id, Instant, metadata, organization_key, required

WORD_ENDS = " .-'"
_SPACED = "translate(lower(name), '{}', '{}')".format(WORD_ENDS.replace("'", "''"), " " * len(WORD_ENDS))
# The words of a name, each behind its organization's id: GIN takes no first column, and this keeps organizations apart.
# With PostgreSQL's parentheses, so that the test of the migrations finds it the same.
NAME_WORDS = (
    "array_to_tsvector(string_to_array((organization_id || '/') || "
    f"replace({_SPACED}, ' ', (' ' || organization_id) || '/'), ' '))"
)

customer = Table(
    "customer",
    metadata,
    organization_key(),
    Column("customer_id", Id, primary_key=True),
    # Stats: sums of the ledger.
    required("total_spent", BigInteger, server_default="0", comment="minor units, net of refunds"),
    required("visit_count", Integer, server_default="0"),
    Column("first_visit_at", Instant),
    Column("last_visit_at", Instant),
    required("coupon_redemptions", Integer, server_default="0"),
    required("discount_received", BigInteger, server_default="0", comment="minor units, by coupons"),
    Column("last_open_at", Instant),
    Column("last_click_at", Instant),
    Column("first_event_at", Instant),
    Column("registered_given_at", Instant, comment="as the POS said"),
    Column("registered_at", Instant, Computed("coalesce(registered_given_at, first_event_at)", persisted=True)),
    # Memberships.
    required("memberships", LargeBinary, server_default=text("''::bytea"), comment="bit n: in the segment of slot n"),
    Column("scheduled_at", Instant, comment="not later than the next instant at which time alone moves a membership"),
    Column("recent", LargeBinary, comment="sales of the last days as windows count them; null: ask the ledger"),
    # Profile: fold of the customer's events, newest time first for each field.
    Column("name", Text),
    Column("email", Text),
    Column("email_at", Instant, comment="since when it is this address"),
    required("email_verified", Boolean, server_default="false"),
    Column("email_verified_at", Instant),
    Column("phone", Text),
    Column("birthday", SmallInteger, comment="month x 100 + day"),
    Column("birthday_year", SmallInteger),
    Column("anniversary", SmallInteger, comment="month x 100 + day"),
    Column("anniversary_year", SmallInteger),
    required("tags", ARRAY(Text), server_default="{}"),
    required("marketing_consent", Boolean, server_default="false"),
    Column("consent_at", Instant),
    Column("consent_where", Text),
    Column("consent_wording", Text),
    Column("preferred_contact_time", Text),
    Column("email_frequency", Text),
    Column("time_zone", Text),
    Column("locale", Text),
    # By bytes, so that the beginning of an address is found, too, whatever the database's collation.
    Index(
        "customer_email_idx",
        "organization_id",
        literal_column("lower(email)").label("address"),
        postgresql_ops={"address": "text_pattern_ops"},
    ),
    # No index holds what sales change: their updates stay on the row's page (HOT).
    Index("customer_name_idx", text(NAME_WORDS), postgresql_using="gin", postgresql_where=text("name IS NOT NULL")),
    Index(
        "customer_unverified_idx",
        "organization_id",
        "email_at",
        postgresql_where=text("email IS NOT NULL AND NOT email_verified"),
    ),
)

flip = Table(
    "flip",
    metadata,
    organization_key(),
    Column("due_at", Instant, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    required("cause", Text, server_default="time", comment="of the changes found then: time, or edit of a static list"),
    comment="Customers whose memberships are to be looked at again at an instant.",
)

customer_merge = Table(
    "customer_merge",
    metadata,
    organization_key(),
    Column("customer_id", Id, primary_key=True),
    required("into_customer_id", Id, comment="as the newest merge said"),
    required("root_customer_id", Id, comment="who it is in the end, over all merges"),
    required("merged_at", Instant),
    required("event_key", Id, comment="breaks ties of merged_at"),
    Index("customer_merge_root_idx", "organization_id", "root_customer_id"),
)

erasure = Table(
    "erasure",
    metadata,
    organization_key(),
    Column("customer_digest", LargeBinary, primary_key=True, comment="SHA-256 of organization and customer id"),
    required("erased_at", Instant, comment="events up to this instant count for nobody"),
)

customer_import = Table(
    "customer_import",
    metadata,
    organization_key(),
    Column("import_id", Uuid, primary_key=True),
    required("state", Text, comment="running, done or failed"),
    required("bytes", BigInteger, comment="of the file"),
    required("bytes_read", BigInteger, server_default="0"),
    required("published", BigInteger, server_default="0", comment="customers whose events are on their way"),
    required("refused", BigInteger, server_default="0", comment="rows"),
    Column("failure", Text, comment="what stopped it"),
    required("started_at", Instant),
    required("told_at", Instant, comment="when it last told of itself: one that runs and is silent has died"),
    comment="Imports at the console: how far they are. Nothing of what the files hold.",
)

"""Every table of Regulars, one file a noun. Each leads with organization_id: statements stay inside one organization,
and Citus can spread the rows by it.
"""

from shared.database.tables.columns import metadata
from shared.database.tables.coupons import coupon, coupon_code, coupon_grant, coupon_use, redemption_outbox
from shared.database.tables.customers import (
    NAME_WORDS,
    WORD_ENDS,
    customer,
    customer_import,
    customer_merge,
    erasure,
    flip,
)
from shared.database.tables.direct_mail import direct_mail
from shared.database.tables.ledger import dead_letter, ledger, waiting_adjustment
from shared.database.tables.mail import (
    campaign,
    mail_batch,
    mail_block,
    mail_content,
    mail_rate,
    mail_slot,
    message,
    suppression,
)
from shared.database.tables.mail_news import mail_click, mail_news
from shared.database.tables.organizations import (
    api_key,
    audit_log,
    console_session,
    console_user,
    idempotency,
    organization,
)
from shared.database.tables.segments import outbox, segment, segment_change, segment_day, static_member

__all__ = [
    "NAME_WORDS",
    "WORD_ENDS",
    "api_key",
    "audit_log",
    "campaign",
    "console_session",
    "console_user",
    "coupon",
    "coupon_code",
    "coupon_grant",
    "coupon_use",
    "customer",
    "customer_import",
    "customer_merge",
    "dead_letter",
    "direct_mail",
    "erasure",
    "flip",
    "idempotency",
    "ledger",
    "mail_batch",
    "mail_block",
    "mail_click",
    "mail_content",
    "mail_news",
    "mail_rate",
    "mail_slot",
    "message",
    "metadata",
    "organization",
    "outbox",
    "redemption_outbox",
    "segment",
    "segment_change",
    "segment_day",
    "static_member",
    "suppression",
    "waiting_adjustment",
]

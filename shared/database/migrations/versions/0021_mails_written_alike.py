"""What is written on mails that went, and on their customers' slots, is the same for all of a claim.

A slot names its mail by campaign and occasion, and the provider's ids stand in the batch, by message.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

NAMED = """
UPDATE mail_slot SET campaign_id = message.campaign_id, occasion = message.occasion
FROM message
WHERE message.organization_id = mail_slot.organization_id AND message.message_id = mail_slot.message_id
"""
NUMBERED = """
UPDATE mail_slot SET message_id = coalesce((
    SELECT message_id FROM message
    WHERE message.organization_id = mail_slot.organization_id AND message.campaign_id = mail_slot.campaign_id
        AND message.customer_id = mail_slot.customer_id AND message.occasion = mail_slot.occasion
), gen_random_uuid())
"""
# From [id, or null where it was refused] to {message: id}; an empty id was none.
BY_MESSAGE = """
UPDATE mail_batch SET ids = convert_to((
    SELECT coalesce(jsonb_object_agg(message_id, nullif(told ->> n::integer - 1, '')), '{}')
    FROM jsonb_array_elements_text(stored) WITH ORDINALITY AS each (message_id, n)
    WHERE told ->> n::integer - 1 IS NOT NULL
)::text, 'UTF8')
FROM (
    SELECT organization_id, batch_id, convert_from(letters, 'UTF8')::jsonb -> 'message_ids' AS stored,
        convert_from(ids, 'UTF8')::jsonb AS told
    FROM mail_batch WHERE ids IS NOT NULL AND letters IS NOT NULL
) AS batch
WHERE mail_batch.organization_id = batch.organization_id AND mail_batch.batch_id = batch.batch_id
"""
BY_POSITION = """
UPDATE mail_batch SET ids = convert_to((
    SELECT jsonb_agg(CASE WHEN told ? message_id THEN coalesce(told ->> message_id, '') END ORDER BY n)
    FROM jsonb_array_elements_text(stored) WITH ORDINALITY AS each (message_id, n)
)::text, 'UTF8')
FROM (
    SELECT organization_id, batch_id, convert_from(letters, 'UTF8')::jsonb -> 'message_ids' AS stored,
        convert_from(ids, 'UTF8')::jsonb AS told
    FROM mail_batch WHERE ids IS NOT NULL AND letters IS NOT NULL
) AS batch
WHERE mail_batch.organization_id = batch.organization_id AND mail_batch.batch_id = batch.batch_id
"""
IDS = "JSON of the provider's id of each message that went; null where it told none"
IDS_BEFORE = "JSON of the provider's ids by position, until mail.sent is out; null: refused"
EMAIL = "where it went; of what is not sent yet, where it was to go when it was planned"
SLOT = "One row a customer: whoever moves it forward may send, so no two mailers fill the same period."


def upgrade() -> None:
    # Room first, so that the rows written anew have it.
    op.execute("ALTER TABLE mail_slot SET (fillfactor = 50)")
    identity = sa.Text(collation="C")
    op.add_column(
        "mail_slot",
        sa.Column("campaign_id", identity, nullable=True, comment="with the occasion: which mail took the day"),
    )
    op.add_column("mail_slot", sa.Column("occasion", identity, nullable=True))
    op.execute(NAMED)
    op.drop_column("mail_slot", "message_id")
    op.create_table_comment(
        "mail_slot",
        f"{SLOT} Pages are filled to 50 %: that is written without touching the index.",
        existing_comment=SLOT,
    )
    op.execute(BY_MESSAGE)
    op.alter_column("mail_batch", "ids", comment=IDS, existing_comment=IDS_BEFORE, existing_type=sa.LargeBinary())
    op.alter_column(
        "message",
        "batch_id",
        comment="what it went with: mail_batch.ids has the provider's id",
        existing_type=sa.Uuid(),
    )
    op.alter_column("message", "email", comment=EMAIL, existing_comment="where it went", existing_type=sa.Text())
    op.alter_column("message", "provider_id", comment="as the provider's news of it said", existing_type=sa.Text())


def downgrade() -> None:
    op.alter_column("message", "provider_id", comment=None, existing_type=sa.Text())
    op.alter_column("message", "email", comment="where it went", existing_comment=EMAIL, existing_type=sa.Text())
    op.alter_column("message", "batch_id", comment=None, existing_type=sa.Uuid())
    op.execute("UPDATE message SET email = NULL WHERE sent_at IS NULL")
    op.alter_column("mail_batch", "ids", comment=IDS_BEFORE, existing_comment=IDS, existing_type=sa.LargeBinary())
    op.execute(BY_POSITION)
    op.execute("UPDATE mail_batch SET ids = NULL WHERE letters IS NULL")
    op.create_table_comment("mail_slot", SLOT, existing_comment=None)
    op.add_column("mail_slot", sa.Column("message_id", sa.Uuid(), nullable=True, comment="which mail took the day"))
    op.execute(NUMBERED)
    op.alter_column("mail_slot", "message_id", nullable=False)
    op.drop_column("mail_slot", "occasion")
    op.drop_column("mail_slot", "campaign_id")
    op.execute("ALTER TABLE mail_slot RESET (fillfactor)")

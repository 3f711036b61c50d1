"""The letters of a batch stand by column: half the bytes, and read by column they fill mails in a third of the time."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

# From [message_id, customer_id, email, {variable: value}, variant] for each. Batches under way are sent again as they are.
BY_COLUMN = """
UPDATE mail_batch SET letters = convert_to((
    SELECT jsonb_build_object(
        'message_ids', coalesce(jsonb_agg(letter -> 0 ORDER BY n), '[]'),
        'customer_ids', coalesce(jsonb_agg(letter -> 1 ORDER BY n), '[]'),
        'emails', coalesce(jsonb_agg(letter -> 2 ORDER BY n), '[]'),
        'variables', coalesce((
            SELECT jsonb_object_agg(name, (
                SELECT jsonb_agg(coalesce(each -> 3 -> name, '""') ORDER BY m)
                FROM jsonb_array_elements(stored) WITH ORDINALITY AS one (each, m)
            )) FROM jsonb_object_keys(stored -> 0 -> 3) AS name
        ), '{}'),
        'variants', coalesce(jsonb_agg(coalesce(letter -> 4, 'null') ORDER BY n), '[]')
    )::text
    FROM jsonb_array_elements(stored) WITH ORDINALITY AS each (letter, n)
), 'UTF8')
FROM (SELECT organization_id, batch_id, convert_from(letters, 'UTF8')::jsonb AS stored FROM mail_batch) AS batch
WHERE mail_batch.organization_id = batch.organization_id AND mail_batch.batch_id = batch.batch_id
    AND mail_batch.letters IS NOT NULL AND jsonb_typeof(stored) = 'array'
"""
BY_LETTER = """
UPDATE mail_batch SET letters = convert_to((
    SELECT jsonb_agg(jsonb_build_array(
        message_id, stored -> 'customer_ids' -> m, stored -> 'emails' -> m,
        coalesce((
            SELECT jsonb_object_agg(name, value -> m) FROM jsonb_each(stored -> 'variables') AS variable (name, value)
        ), '{}'),
        stored -> 'variants' -> m
    ) ORDER BY n)::text
    FROM jsonb_array_elements(stored -> 'message_ids') WITH ORDINALITY AS each (message_id, n),
        LATERAL (SELECT (n - 1)::integer) AS position (m)
), 'UTF8')
FROM (SELECT organization_id, batch_id, convert_from(letters, 'UTF8')::jsonb AS stored FROM mail_batch) AS batch
WHERE mail_batch.organization_id = batch.organization_id AND mail_batch.batch_id = batch.batch_id
    AND mail_batch.letters IS NOT NULL AND jsonb_typeof(stored) = 'object'
"""


def upgrade() -> None:
    op.execute(BY_COLUMN)


def downgrade() -> None:
    op.execute(BY_LETTER)

"""Records that cannot count: kept with their reason in the database, published to crm.dead-letter.v1 by the relay."""

from __future__ import annotations

from collections.abc import Sequence

from services.segmenter.intake import Letter
from services.segmenter.staging import Connection
from shared.database.channels import OUTBOX

# Once for each record: a batch that is repeated after a crash finds its letters there.
STORE = """
INSERT INTO dead_letter (organization_id, topic, partition, "offset", key, value, reason, message)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def store(connection: Connection, letters: Sequence[Letter]) -> None:
    """Keep letters, in the batch's transaction."""
    if not letters:
        return
    rows = [
        (
            letter.organization_id,
            letter.record.topic,
            letter.record.partition,
            letter.record.offset,
            letter.record.key,
            letter.record.value or b"",
            letter.reason,
            letter.message.replace("\0", "\\0"),
        )
        for letter in letters
    ]
    with connection.cursor() as cursor:
        cursor.executemany(STORE, rows)
    connection.execute("SELECT pg_notify(%s, '')", [OUTBOX])

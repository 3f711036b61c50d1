"""PostgreSQL's channels, by which services wake each other instead of looking again and again."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

SEGMENTS: Final = "regulars_segments"
"""To the segmenter: a segment is new, changed or to go."""
FLIPS: Final = "regulars_flips"
"""To the segmenter: memberships are due to be looked at, by time or by request."""
OUTBOX: Final = "regulars_outbox"
"""To the segmenter's relay: changes or dead letters are there to be published."""
CAMPAIGNS: Final = "regulars_campaigns"
"""To the mailer: a campaign was written, changed or steered."""
MESSAGES: Final = "regulars_messages"
"""To the mailer's senders: there are messages to send, or to decide on again."""


def notify(connection: Connection, channel: str, organization_id: str) -> None:
    """Wake who listens to the channel, for one organization, when the transaction commits."""
    connection.execute(select(func.pg_notify(channel, organization_id)))

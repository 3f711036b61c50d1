"""A request as it is kept: its mails once, whatever its idempotency key is sent with again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.local.sandbox.answer import RefusedError
from services.local.sandbox.message import to_ms

KEY_LIVES = timedelta(hours=24)


@dataclass(frozen=True)
class Accepted:
    """One mail of a request, ready to be kept."""

    id: str
    content: bytes


@dataclass(frozen=True)
class Submission:
    """A request: its mails, the answer to give, and what the idempotency key is held against."""

    mails: Sequence[Accepted]
    received_at: datetime
    answer: bytes
    key: str | None
    fingerprint: bytes

    def keep(self, connection: sqlite3.Connection) -> bytes:
        """Keeps the mails and gives the answer; for a key seen before, the first answer and nothing kept.

        Raises RefusedError 409 where the key came with another payload.
        """
        now = to_ms(self.received_at)
        if self.key is not None:
            connection.execute("DELETE FROM idempotency WHERE expires_at <= ?", [now])
            query = "SELECT fingerprint, answer FROM idempotency WHERE key = ?"
            known = connection.execute(query, [self.key]).fetchone()
            if known is not None:
                fingerprint, answer = known
                if fingerprint != self.fingerprint:
                    message = "Same idempotency key used with a different request payload."
                    raise RefusedError(409, "invalid_idempotent_request", message)
                return bytes(answer)
            expires_at = to_ms(self.received_at + KEY_LIVES)
            values = [self.key, self.fingerprint, self.answer, expires_at]
            connection.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?)", values)
        (last,) = connection.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'message'"
        ).fetchone()
        numbered = list(enumerate(self.mails, last + 1))
        connection.executemany(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?)",
            [(seq, mail.id, now, self.key, mail.content) for seq, mail in numbered],
        )
        return self.answer

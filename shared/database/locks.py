"""Advisory locks: who works on a thing that is no row, or whose row must stay free for others."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

# The lock of an organization, until the transaction ends. Batches of events share it; a merge, an erasure, a stray
# adjustment, a part of a fill, and whoever else must see all that was counted, take it alone.
SHARE: Final = "SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))"
ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


def take_lock(connection: Connection, name: str) -> bool:
    """Take the lock of that name until the transaction ends. False, at once, where another transaction has it."""
    lock = func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0))
    return bool(connection.execute(select(lock)).scalar_one())

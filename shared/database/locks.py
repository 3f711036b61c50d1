"""Advisory locks: who works on a thing that is no row, or whose row must stay free for others."""

from __future__ import annotations

from sqlalchemy import Connection, func, select


def take_lock(connection: Connection, name: str) -> bool:
    """Take the lock of that name until the transaction ends. False, at once, where another transaction has it."""
    lock = func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0))
    return bool(connection.execute(select(lock)).scalar_one())

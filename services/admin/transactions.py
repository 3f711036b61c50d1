"""A transaction of a command: one connection, gone when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from shared.database.engine import engine


@contextmanager
def transaction(database_url: str) -> Iterator[Connection]:
    """Committed unless something is raised inside."""
    store = engine(database_url, pool_size=1)
    try:
        with store.begin() as connection:
            yield connection
    finally:
        store.dispose()

"""The segmenter's connections: with the tables that a batch goes through, and arrays that NumPy reads as they come."""

from __future__ import annotations

from services.segmenter import arrays, staging
from services.segmenter.staging import Connection
from shared.database import engine


def connect(url: str) -> Connection:
    """A connection to count on; each statement is its own transaction, but where one is begun."""
    connection = engine.connect(url, autocommit=True)
    try:
        staging.prepare(connection)
        arrays.prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection

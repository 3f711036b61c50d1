"""Temporary tables through which a batch goes into the database as a whole; they are empty again at each commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

# A commit empties each table that there is, used or not. What is short is STORAGE PLAIN, so that no table and index for
# long values stand beside it: that is a third of a small batch's commit.
CREATE = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    n integer, organization_id text COLLATE "C", source text COLLATE "C", event_id text COLLATE "C",
    type text COLLATE "C", occurred_at timestamptz, customer_id text COLLATE "C", sale_id text COLLATE "C",
    entry text COLLATE "C", store_id text COLLATE "C", terminal_id text COLLATE "C", amount bigint, discount bigint,
    lines text, payload text, published_customer_id text COLLATE "C"
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS touched (
    organization_id text STORAGE PLAIN COLLATE "C", customer_id text STORAGE PLAIN COLLATE "C"
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS dirty (
    organization_id text STORAGE PLAIN COLLATE "C", customer_id text STORAGE PLAIN COLLATE "C"
) ON COMMIT DELETE ROWS
"""

INCOMING: tuple[tuple[str, str], ...] = (
    ("n", "int4"),
    ("organization_id", "text"),
    ("source", "text"),
    ("event_id", "text"),
    ("type", "text"),
    ("occurred_at", "timestamptz"),
    ("customer_id", "text"),
    ("sale_id", "text"),
    ("entry", "text"),
    ("store_id", "text"),
    ("terminal_id", "text"),
    ("amount", "int8"),
    ("discount", "int8"),
    ("lines", "text"),
    ("payload", "text"),
)
# The place of each column in a row.
(
    NUMBER,
    ORGANIZATION_ID,
    SOURCE,
    EVENT_ID,
    TYPE,
    OCCURRED_AT,
    CUSTOMER_ID,
    SALE_ID,
    ENTRY,
    STORE_ID,
    TERMINAL_ID,
    AMOUNT,
    DISCOUNT,
    LINES,
    PAYLOAD,
) = range(len(INCOMING))
COPY_INCOMING = f"COPY incoming ({', '.join(name for name, _ in INCOMING)}) FROM STDIN (FORMAT binary)"
INCOMING_TYPES = [kind for _, kind in INCOMING]


def prepare(connection: Connection) -> None:
    """Make the tables on a fresh connection."""
    connection.execute(CREATE)


def copy(connection: Connection, statement: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Send rows by binary COPY."""
    with connection.cursor() as cursor, cursor.copy(statement) as sink:
        sink.set_types(types)
        for row in rows:
            sink.write_row(row)

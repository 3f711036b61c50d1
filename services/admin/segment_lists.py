"""Members of a static segment from a CSV file."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from services.admin import customers, segment_members
from services.admin.csv_lists import rows_with, text_of
from shared.keys import Key

COLUMN = "customer_id"
TOLD = 100


class Refused(BaseModel):
    """A row that names nobody known."""

    line: int = Field(description="In the file; the header is line 1.")
    customer_id: str
    reason: str


class Listed(BaseModel):
    """What became of a file."""

    added: int = Field(description="Customers named in it; members now, with 202 within moments.")
    refused: int
    rows: list[Refused] = Field(description=f"The first {TOLD} that were refused.")


def add(connection: Connection, key: Key, segment_id: str, file: bytes, now: datetime) -> tuple[set[str], Listed]:
    """The customers added, and what to tell of the file.

    Raises InvalidError for what is no CSV with a customer_id column, NotFoundError, ConflictError (not static).
    """
    named = {line: row[COLUMN].strip() for line, row in rows_with(COLUMN, text_of(file))}
    present = customers.present(connection, key.organization_id, [*named.values()])
    known = segment_members.known(connection, key.organization_id, set(present))
    refused = [
        Refused(line=line, customer_id=each[:64], reason="there is no such customer: create them first")
        for (line, each), who in zip(named.items(), present, strict=True)
        if who not in known
    ]
    segment_members.add(connection, key, segment_id, sorted(known), now)
    return known, Listed(added=len(known), refused=len(refused), rows=refused[:TOLD])

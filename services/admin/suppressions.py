"""Addresses that get no marketing mail: listed, imported, and taken out where that may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TextIO, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Connection, delete, select

from services.admin import audit
from services.admin.csv_lists import rows_with, text_of
from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.suppressions import Reason, Suppressed, suppress
from shared.database.tables import suppression
from shared.domain.event_fields import Email
from shared.errors import ConflictError, InvalidError
from shared.keys import Key
from shared.wording import shown

COLUMN: Final = "email"
TOLD: Final = 100
BATCH: Final = 5_000
MOST: Final = 1_000
_email: TypeAdapter[str] = TypeAdapter(Email)


class Suppression(BaseModel):
    """One address, in lower case."""

    email: str
    reason: Reason
    at: Instant


class Addresses(BaseModel):
    """Which are meant."""

    model_config = ConfigDict(extra="forbid")

    emails: Annotated[list[Email], Field(min_length=1, max_length=MOST)]


class NewAddresses(Addresses):
    """Which are to be suppressed, and why."""

    reason: Literal["import", "unsubscribe", "bounce", "complaint"] = Field(
        "import", description="A consent given later lifts `unsubscribe`, and nothing else."
    )


class RefusedRow(BaseModel):
    """A row of a file that cannot be taken."""

    line: int = Field(description="In the file; the header is line 1.")
    reason: str


class Imported(BaseModel):
    """What became of a list."""

    suppressed: int = Field(description="Addresses that are new on the list, or told anew.")
    refused: int
    rows: list[RefusedRow] = Field([], description=f"The first {TOLD} that were refused.")


def page(
    connection: Connection, organization_id: str, limit: int, cursor: str | None, *, search: str = "", reason: str = ""
) -> Page[Suppression]:
    """By address."""
    wanted = select(suppression).where(suppression.c.organization_id == organization_id)
    if search:
        wanted = wanted.where(suppression.c.email.contains(search.lower(), autoescape=True))
    if reason:
        wanted = wanted.where(suppression.c.reason == reason)
    if cursor is not None:
        (last,) = read_cursor(cursor, str)
        wanted = wanted.where(suppression.c.email > last)
    rows = connection.execute(wanted.order_by(suppression.c.email).limit(limit + 1)).mappings()
    return cut([Suppression.model_validate(dict(row)) for row in rows], limit, lambda item: (item.email,))


def add(connection: Connection, key: Key, wanted: NewAddresses, now: datetime) -> Imported:
    """From the next mail on, those that are queued included."""
    given = [Suppressed(email, wanted.reason, now) for email in wanted.emails]
    added = suppress(connection, key.organization_id, given)
    audit.record(connection, key, "suppression.added", "suppression", addresses=added, reason=wanted.reason)
    return Imported(suppressed=added, refused=0)


def add_file(connection: Connection, key: Key, file: bytes, now: datetime) -> Imported:
    """The addresses of a CSV. Raises InvalidError for what is none, or has no column `email`."""
    good: list[Suppressed] = []
    refused: list[RefusedRow] = []
    for line, outcome in read(text_of(file), now):
        if isinstance(outcome, InvalidError):
            refused.append(RefusedRow(line=line, reason=str(outcome)))
        else:
            good.append(outcome)
    added = sum(suppress(connection, key.organization_id, part) for part in parts(good))
    audit.record(connection, key, "suppression.imported", "suppression", addresses=added, refused=len(refused))
    return Imported(suppressed=added, refused=len(refused), rows=refused[:TOLD])


def remove(connection: Connection, key: Key, emails: Sequence[str]) -> int:
    """Take addresses out; how many were there. Raises ConflictError where one of them complained."""
    mine = (
        suppression.c.organization_id == key.organization_id,
        suppression.c.email.in_({email.lower() for email in emails}),
    )
    complained = connection.execute(select(suppression.c.email).where(*mine, suppression.c.reason == "complaint"))
    if (found := complained.scalars().first()) is not None:
        raise ConflictError(
            f"{found} reported a mail of yours as spam. Nobody takes that back for them: it stays, and none of these "
            "was taken out. Leave it out of the list."
        )
    removed = connection.execute(delete(suppression).where(*mine)).rowcount
    audit.record(connection, key, "suppression.removed", "suppression", addresses=removed)
    return removed


def read(text: TextIO, now: datetime, column: str = COLUMN) -> Iterator[tuple[int, Suppressed | InvalidError]]:
    """For each row its line, and its address with the reason in the column `reason`, else import; or what is wrong.
    Raises InvalidError for what is no CSV, or has no such column.
    """
    return ((line, _read(row, column, now)) for line, row in rows_with(column, text))


def parts(given: Sequence[Suppressed]) -> Iterator[Sequence[Suppressed]]:
    """As much as one statement takes."""
    return (given[n : n + BATCH] for n in range(0, len(given), BATCH))


def _read(row: dict[str, Any], column: str, now: datetime) -> Suppressed | InvalidError:
    reason = (row.get("reason") or "import").strip().lower()
    if reason not in get_args(Reason):
        return InvalidError(f"must be one of {', '.join(get_args(Reason))}; got {shown(reason)}", "reason")
    try:
        return Suppressed(_email.validate_python(row[column].strip()), cast("Reason", reason), now)
    except ValidationError:
        return InvalidError(f"must be one address of up to 254 characters; got {shown(row[column])}", "email")

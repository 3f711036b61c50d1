"""The audit log: every change, by whom, in the same transaction as the change itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, insert, select

from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.tables import audit_log
from shared.keys import Key

COMMAND_LINE = "command line"


class Entry(BaseModel):
    """One change. `detail` names fields, never a customer's data: what is erased must not live on here."""

    audit_id: int
    at: Instant
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


def record(connection: Connection, key: Key, action: str, subject: str, **detail: Any) -> None:
    """Note that the holder of `key` did `action` (such as segment.created) to `subject` (such as segment:vip)."""
    note(connection, key.organization_id, key.actor, action, subject, **detail)


def note(connection: Connection, organization_id: str, actor: str, action: str, subject: str, **detail: Any) -> None:
    """The same for an actor without a key."""
    connection.execute(
        insert(audit_log).values(
            organization_id=organization_id, actor=actor, action=action, subject=subject, detail=detail
        )
    )


def entries(
    connection: Connection, organization_id: str, limit: int, cursor: str | None, before: datetime | None = None
) -> Page[Entry]:
    """Newest first."""
    wanted = select(audit_log).where(audit_log.c.organization_id == organization_id)
    if cursor is not None:
        (audit_id,) = read_cursor(cursor, int)
        wanted = wanted.where(audit_log.c.audit_id < audit_id)
    if before is not None:
        wanted = wanted.where(audit_log.c.at < before)
    rows = connection.execute(wanted.order_by(audit_log.c.audit_id.desc()).limit(limit + 1)).mappings()
    return cut([Entry.model_validate(dict(row)) for row in rows], limit, lambda entry: (entry.audit_id,))

"""Members of segments; those of static ones are added and removed here, and the segmenter sets their bits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, RowMapping, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from services.admin import audit, memberships
from shared.database import recheck
from shared.database.tables import customer, segment, static_member
from shared.errors import ConflictError, InvalidError, NotFoundError
from shared.keys import Key
from shared.wording import counted

MOST = 10_000
NAMED = 5


class Members(BaseModel):
    """Customers to add or remove."""

    model_config = ConfigDict(extra="forbid")

    customer_ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=MOST)]


def add(connection: Connection, key: Key, segment_id: str, customer_ids: list[str], now: datetime) -> None:
    """Raises NotFoundError, ConflictError (not static) and InvalidError (no such customers); again changes nothing."""
    wanted = sorted(set(customer_ids))
    _static(connection, key.organization_id, segment_id)
    _check_known(connection, key.organization_id, customer_ids)
    if wanted:
        own = {"organization_id": key.organization_id, "segment_id": segment_id, "added_at": now}
        connection.execute(
            insert(static_member).on_conflict_do_nothing(), [own | {"customer_id": each} for each in wanted]
        )
        recheck.request(connection, key.organization_id, wanted, now)
        audit.record(connection, key, "segment.members_added", f"segment:{segment_id}", count=len(wanted))


def remove(connection: Connection, key: Key, segment_id: str, customer_ids: list[str], now: datetime) -> None:
    """Raises NotFoundError and ConflictError (not static); who is no member stays none."""
    wanted = sorted(set(customer_ids))
    _static(connection, key.organization_id, segment_id)
    if wanted:
        connection.execute(
            delete(static_member).where(
                static_member.c.organization_id == key.organization_id,
                static_member.c.segment_id == segment_id,
                static_member.c.customer_id.in_(wanted),
            )
        )
        recheck.request(connection, key.organization_id, wanted, now)
        audit.record(connection, key, "segment.members_removed", f"segment:{segment_id}", count=len(wanted))


def are_set(connection: Connection, organization_id: str, slot: int, customer_ids: list[str], *, inside: bool) -> bool:
    """Whether the bits of all these customers say so already."""
    differs = memberships.inside(slot) != inside
    wanted = select(func.count()).where(
        customer.c.organization_id == organization_id, customer.c.customer_id.in_(customer_ids), differs
    )
    return connection.execute(wanted).scalar_one() == 0


def _static(connection: Connection, organization_id: str, segment_id: str) -> RowMapping:
    # Shared lock: the segment is not deleted while its list changes.
    wanted = select(segment).where(
        segment.c.organization_id == organization_id,
        segment.c.segment_id == segment_id,
        segment.c.state != "deleting",
    )
    row = connection.execute(wanted.with_for_update(read=True, key_share=True)).mappings().first()
    if row is None:
        raise NotFoundError(f"There is no segment {segment_id!r}.")
    if row["kind"] != "static":
        raise ConflictError(f"Members of {segment_id!r} follow from its criteria. Only a static segment is a list.")
    return row


def _check_known(connection: Connection, organization_id: str, customer_ids: list[str]) -> None:
    wanted = select(customer.c.customer_id).where(
        customer.c.organization_id == organization_id, customer.c.customer_id.in_(customer_ids)
    )
    known = set(connection.execute(wanted).scalars())
    missing = [(index, each) for index, each in enumerate(customer_ids) if each not in known]
    if missing:
        some = ", ".join(repr(each) for _, each in missing[:NAMED])
        message = (
            f"holds {counted(len(missing), 'unknown customer')}, such as {some}. Create them first or take them out"
        )
        raise InvalidError(message, f"customer_ids[{missing[0][0]}]")

"""Members of segments; those of static ones are added and removed here, and the segmenter sets their bits."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, RowMapping, Text, any_, delete, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.admin import audit, customers
from services.admin.customer_events import wait_until
from shared.database import predicate, recheck
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


def add(connection: Connection, key: Key, segment_id: str, customer_ids: list[str], now: datetime) -> list[str]:
    """Who they are after merges. Again changes nothing.

    Raises NotFoundError, ConflictError (not static) and InvalidError (no such customers).
    """
    _static(connection, key.organization_id, segment_id)
    wanted = customers.present(connection, key.organization_id, customer_ids)
    _check_known(connection, key.organization_id, wanted)
    wanted = sorted(set(wanted))
    if wanted:
        own = {"organization_id": key.organization_id, "segment_id": segment_id, "added_at": now}
        connection.execute(
            insert(static_member).on_conflict_do_nothing(), [own | {"customer_id": each} for each in wanted]
        )
        recheck.request(connection, key.organization_id, wanted, now)
        audit.record(connection, key, "segment.members_added", f"segment:{segment_id}", count=len(wanted))
    return wanted


def remove(connection: Connection, key: Key, segment_id: str, customer_ids: list[str], now: datetime) -> list[str]:
    """Who they are after merges; who is no member stays none. Raises NotFoundError and ConflictError (not static)."""
    _static(connection, key.organization_id, segment_id)
    wanted = sorted({*customers.present(connection, key.organization_id, customer_ids)})
    if wanted:
        connection.execute(
            delete(static_member).where(
                static_member.c.organization_id == key.organization_id,
                static_member.c.segment_id == segment_id,
                static_member.c.customer_id == any_(literal(wanted, ARRAY(Text))),
            )
        )
        recheck.request(connection, key.organization_id, wanted, now)
        audit.record(connection, key, "segment.members_removed", f"segment:{segment_id}", count=len(wanted))
    return wanted


def wait_until_set(
    connection: Connection, organization_id: str, slot: int, customer_ids: Collection[str], *, inside: bool
) -> bool:
    """Wait for the segmenter to set the bits of all these, a few milliseconds as a rule; False after three seconds."""
    differs = predicate.inside(slot) != inside
    wanted = select(func.count()).where(_are(organization_id, customer_ids), differs)
    return wait_until(lambda: connection.execute(wanted).scalar_one() == 0)


def known(connection: Connection, organization_id: str, customer_ids: Collection[str]) -> set[str]:
    """Those of them that are customers."""
    return set(connection.execute(select(customer.c.customer_id).where(_are(organization_id, customer_ids))).scalars())


def _are(organization_id: str, customer_ids: Collection[str]) -> ColumnElement[bool]:
    # One array: a CSV may name more than the 65,535 that PostgreSQL takes one by one.
    named = customer.c.customer_id == any_(literal(list(customer_ids), ARRAY(Text)))
    return (customer.c.organization_id == organization_id) & named


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
    there = known(connection, organization_id, customer_ids)
    missing = [(index, each) for index, each in enumerate(customer_ids) if each not in there]
    if missing:
        some = ", ".join(repr(each) for _, each in missing[:NAMED])
        message = (
            f"holds {counted(len(missing), 'unknown customer')}, such as {some}. Create them first or take them out"
        )
        raise InvalidError(message, f"customer_ids[{missing[0][0]}]")

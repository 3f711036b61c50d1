"""Segments: made, changed, deleted here; filled, kept right and cleared by the segmenter."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, literal, or_, select, update

from services.admin import audit, customers, memberships, organizations, segment_uses
from services.admin.paging import Page, cut, read_cursor
from services.admin.segment_models import NewSegment, Preview, Segment, SegmentChange
from services.admin.slugs import free_slug
from services.admin.versions import check_match
from shared.database.channels import SEGMENTS, notify
from shared.database.predicate import hold_sets, inside, predicate
from shared.database.tables import audit_log, customer, segment, static_member
from shared.domain.criteria import Criteria, parse, references
from shared.domain.money import format_money
from shared.errors import ConflictError, InvalidError, NotFoundError
from shared.keys import Key

DELETED = "segment.deleted"
SAMPLE = 10
NAMED = 20


def page(connection: Connection, organization_id: str, limit: int, cursor: str | None) -> Page[Segment]:
    """By id."""
    wanted = _rows(organization_id).order_by(segment.c.segment_id).limit(limit + 1)
    if cursor is not None:
        (last,) = read_cursor(cursor, str)
        wanted = wanted.where(segment.c.segment_id > last)
    currency = organizations.read(connection, organization_id).currency
    items = [_shown(row, currency) for row in connection.execute(wanted).mappings()]
    return cut(items, limit, lambda item: (item.id,))


def read(connection: Connection, organization_id: str, segment_id: str) -> Segment:
    """Raises NotFoundError."""
    row = _row(connection, organization_id, segment_id)
    return _shown(row, organizations.read(connection, organization_id).currency)


def slot_of(connection: Connection, organization_id: str, segment_id: str) -> int:
    """Its bit in customer.memberships. Raises NotFoundError."""
    slot: int = _row(connection, organization_id, segment_id)["slot"]
    return slot


def create(connection: Connection, key: Key, wanted: NewSegment, now: datetime) -> str:
    """The id of the new one. Raises InvalidError, NotFoundError (members_of) and ConflictError (the name is taken)."""
    if wanted.kind == "static" and wanted.criteria is not None:
        raise InvalidError("must be left out: a static segment has a list of members instead", "criteria")
    if wanted.kind == "dynamic" and wanted.criteria is None:
        raise InvalidError("is missing: a dynamic segment needs them (a list to manage by hand is static)", "criteria")
    for name in ("members_of", "members_by"):
        if wanted.kind == "dynamic" and getattr(wanted, name) is not None:
            raise InvalidError("must be left out: only a static segment starts as a list", name)
    organizations.lock(connection, key.organization_id)
    _check_name(connection, key.organization_id, wanted.name)
    if wanted.criteria is not None:
        _check_criteria(connection, key.organization_id, wanted.criteria)
    # Also of those that are going away: their bits are not yet cleared.
    everything = select(segment.c.segment_id, segment.c.slot).where(segment.c.organization_id == key.organization_id)
    rows = connection.execute(everything).all()
    taken = {row.slot for row in rows}
    segment_id = free_slug(wanted.name, "segment", {row.segment_id for row in rows} | _gone(connection, key))
    connection.execute(
        insert(segment).values(
            organization_id=key.organization_id,
            segment_id=segment_id,
            slot=next(slot for slot in range(len(taken) + 1) if slot not in taken),
            state="filling",
            progress=0,
            **wanted.model_dump(exclude={"members_of", "members_by"}),
        )
    )
    if wanted.members_of is not None or wanted.members_by is not None:
        _list_members(connection, key, segment_id, wanted, now)
    _tell(connection, key, "segment.created", segment_id)
    return segment_id


def change(
    connection: Connection,
    key: Key,
    segment_id: str,
    wanted: SegmentChange,
    *,
    now: datetime,
    if_match: str | None = None,
) -> Segment:
    """Raises NotFoundError, InvalidError, ConflictError, and 412 by `if_match`."""
    organizations.lock(connection, key.organization_id)
    before = _row(connection, key.organization_id, segment_id)
    check_match(if_match, before["version"])
    given = wanted.model_dump(exclude_unset=True)
    for name, value in given.items():
        if value is None:
            raise InvalidError("must not be null; leave it out to keep it", name)
    if "name" in given and given["name"] != before["name"]:
        _check_name(connection, key.organization_id, given["name"])
    values = given | {"version": segment.c.version + 1, "updated_at": now}
    if "criteria" in given:
        if before["kind"] == "static":
            raise InvalidError("do not belong to a static segment; add and remove members instead", "criteria")
        _check_criteria(connection, key.organization_id, given["criteria"])
        if given["criteria"] != before["criteria"]:
            values |= {"state": "filling", "progress": 0}
    if given:
        connection.execute(update(segment).where(_is(key.organization_id, segment_id)).values(values))
        _tell(connection, key, "segment.changed", segment_id, fields=sorted(given))
    return read(connection, key.organization_id, segment_id)


def remove(connection: Connection, key: Key, segment_id: str, now: datetime) -> None:
    """Hide it at once; the segmenter clears its bits and then frees its slot.

    Raises NotFoundError, and ConflictError where it is in use.
    """
    organizations.lock(connection, key.organization_id)
    _row(connection, key.organization_id, segment_id)
    uses = segment_uses.of(connection, key.organization_id, segment_id)
    if uses:
        raise ConflictError(
            f"The segment {segment_id!r} is used by {', '.join(map(str, uses))}. Take it out there first."
        )
    # It keeps its name for the last events that tell of it; the name is free all the same.
    gone = {"state": "deleting", "updated_at": now}
    connection.execute(update(segment).where(_is(key.organization_id, segment_id)).values(gone))
    connection.execute(
        delete(static_member).where(
            static_member.c.organization_id == key.organization_id, static_member.c.segment_id == segment_id
        )
    )
    _tell(connection, key, DELETED, segment_id)


def preview(connection: Connection, organization_id: str, tree: dict[str, Any], now: datetime) -> Preview:
    """How many meet the criteria now, and some of them. Raises InvalidError."""
    criteria = _check_criteria(connection, organization_id, tree)
    whose = organizations.read(connection, organization_id)
    meant = select(customer.c.customer_id).where(predicate(criteria, organization_id, whose.time_zone, now))
    # Kept, so that what is asked of the ledger is asked once.
    everybody = meant.cte("everybody").prefix_with("MATERIALIZED", dialect="postgresql")
    first = select(everybody.c.customer_id).order_by(everybody.c.customer_id).limit(SAMPLE)
    count = select(func.count()).select_from(everybody).scalar_subquery()
    hold_sets(connection)
    number, ids = connection.execute(select(count, func.array(first.scalar_subquery()))).one()
    slots = memberships.slots(connection, organization_id)
    wanted = customers.rows(organization_id).where(customer.c.customer_id.in_(ids)).order_by(customer.c.customer_id)
    sample = [customers.shown(row, slots) for row in connection.execute(wanted).mappings()]
    return Preview(count=number, summary=_summary(criteria, whose.currency), sample=sample)


def _list_members(connection: Connection, key: Key, segment_id: str, wanted: NewSegment, now: datetime) -> None:
    """Start a static segment with those of another one and those who meet criteria, in one statement."""
    meant = []
    if wanted.members_of is not None:
        slot = slot_of(connection, key.organization_id, wanted.members_of)
        meant.append(inside(slot))
    if wanted.members_by is not None:
        criteria = _check_criteria(connection, key.organization_id, wanted.members_by, "members_by")
        zone = organizations.read(connection, key.organization_id).time_zone
        meant.append(predicate(criteria, key.organization_id, zone, now))
    who = select(literal(key.organization_id), literal(segment_id), customer.c.customer_id, literal(now)).where(
        customer.c.organization_id == key.organization_id, or_(*meant)
    )
    columns = ["organization_id", "segment_id", "customer_id", "added_at"]
    hold_sets(connection)
    connection.execute(insert(static_member).from_select(columns, who))


def _is(organization_id: str, segment_id: str) -> Any:
    return (segment.c.organization_id == organization_id) & (segment.c.segment_id == segment_id)


def _rows(organization_id: str) -> Select[Any]:
    return select(segment).where(segment.c.organization_id == organization_id, segment.c.state != "deleting")


def _row(connection: Connection, organization_id: str, segment_id: str) -> RowMapping:
    row = connection.execute(_rows(organization_id).where(segment.c.segment_id == segment_id)).mappings().first()
    if row is None:
        raise NotFoundError(f"There is no segment {segment_id!r}.")
    return row


def _gone(connection: Connection, key: Key) -> set[str]:
    """Ids of deleted ones. They stay taken: their events, and timelines, must not be taken for another segment's."""
    wanted = select(audit_log.c.subject).where(
        audit_log.c.organization_id == key.organization_id, audit_log.c.action == DELETED
    )
    return {subject.removeprefix("segment:") for subject in connection.execute(wanted).scalars()}


def _check_name(connection: Connection, organization_id: str, name: str) -> None:
    if connection.execute(_rows(organization_id).where(segment.c.name == name)).first() is not None:
        raise ConflictError(f"There is a segment {name!r} already. Choose another name.")


def _check_criteria(
    connection: Connection, organization_id: str, tree: dict[str, Any], called: str = "criteria"
) -> Criteria:
    """The criteria, valid also in what they refer to. `called`: the field that they came in."""
    try:
        criteria = parse(tree)
    except InvalidError as error:
        raise InvalidError(error.message, called + error.field.removeprefix("criteria"), error.code) from None
    for path, segment_id in references(tree, called):
        row = connection.execute(_rows(organization_id).where(segment.c.segment_id == segment_id)).mappings().first()
        if row is None or row["kind"] != "static":
            known = connection.execute(_rows(organization_id).where(segment.c.kind == "static").limit(NAMED)).mappings()
            there = ", ".join(each["segment_id"] for each in known) or "none yet"
            raise InvalidError(f"{segment_id!r} is no static segment of this organization; there are: {there}", path)
    return criteria


def _tell(connection: Connection, key: Key, action: str, segment_id: str, **detail: Any) -> None:
    audit.record(connection, key, action, f"segment:{segment_id}", **detail)
    notify(connection, SEGMENTS, key.organization_id)


def _shown(row: RowMapping, currency: str) -> Segment:
    try:
        summary = None if row["criteria"] is None else _summary(parse(row["criteria"]), currency)
    except InvalidError as error:  # stored under an older rule: it is shown all the same, and can be mended
        summary = f"cannot be used any more: {error}"
    return Segment(id=row["segment_id"], summary=summary, **row)


def _summary(criteria: Criteria, currency: str) -> str:
    return criteria.sentence(lambda amount: format_money(amount, currency))

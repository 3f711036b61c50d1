"""Segments: the list, and one of them with its members and its history."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Request, Response

from services.admin import (
    customer_csv,
    customers,
    memberships,
    segment_history,
    segment_lists,
    segment_members,
    segment_uses,
    segments,
)
from services.admin.access import Admin, Now, Parts
from services.admin.console import forms, pages
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Files, Marketer, Posted, Viewer, Visit, chosen
from services.admin.paging import Cursor
from services.admin.routes.answers import csv_answer
from services.admin.segment_history import Day, History
from services.admin.segment_members import Members
from services.admin.segment_models import NewSegment, Segment
from shared.errors import InvalidError, RegularsError
from shared.wording import counted

PAGE: Final = 100
MEMBERS: Final = 25
DAYS: Final = 90
MONTH: Final = 30  # days
ONE: Final = "/segments/{segment_id}"
SegmentId = Annotated[str, Path(min_length=1, max_length=128)]
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/segments")
def entries(request: Request, visit: Viewer, parts: Parts, now: Now, cursor: Cursor = None) -> Response:
    """By id, each with how it grew and shrank."""
    with parts.engine.connect() as connection:
        found = segments.page(connection, visit.organization_id, PAGE, cursor)
        sizes = {segment.id: segment.member_count for segment in found.items}
        history = segment_history.many(connection, visit.organization_id, sizes, MONTH, now)
    since = {each.id: _since(each, history[each.id], visit.organization.time_zone) for each in found.items}
    return pages.show(request, visit, "segments", found=found, since=since, cursor=cursor)


@router.get(ONE)
def read(
    request: Request, segment_id: SegmentId, *, visit: Viewer, parts: Parts, now: Now, cursor: Cursor = None
) -> Response:
    """One segment."""
    return _one(request, visit, parts, segment_id, now=now, cursor=cursor)


@router.get(f"{ONE}/members.csv")
def members_as_csv(segment_id: SegmentId, visit: Viewer, parts: Parts) -> Response:
    """Its members, whole, with every profile field and stat."""
    with parts.engine.connect() as connection:
        slot = segments.slot_of(connection, visit.organization_id, segment_id)
    return csv_answer(customer_csv.stream(parts.engine, visit.organization_id, slot), f"{segment_id}.csv")


@router.post(f"{ONE}/members")
def move(request: Request, segment_id: SegmentId, *, visit: Marketer, form: Posted, parts: Parts, now: Now) -> Response:
    """Add customers to a static segment, or take them out."""
    inside = form.get("do") != "remove"
    typed = form.get("customer_ids", "")
    ids = list(dict.fromkeys(line.strip() for line in typed.splitlines() if line.strip()))
    try:
        if not ids:
            raise InvalidError("is empty: give one customer id a line", "customer_ids")
        wanted = forms.read(Members, {"customer_ids": ids})
        with parts.engine.begin() as connection:
            if inside:
                ids = segment_members.add(connection, visit.key, segment_id, wanted.customer_ids, now)
            else:
                ids = segment_members.remove(connection, visit.key, segment_id, wanted.customer_ids, now)
    except RegularsError as error:
        told = forms.errors_of(error)
        bad = told.pop("", "")
        ids_error = "; ".join(told.values())
        return _one(request, visit, parts, segment_id, now=now, status=422, ids=typed, ids_error=ids_error, bad=bad)
    with parts.engine.connect() as connection:
        slot = segments.slot_of(connection, visit.organization_id, segment_id)
        done = segment_members.wait_until_set(connection, visit.organization_id, slot, ids, inside=inside)
    note = f"{counted(len(ids), 'customer')} {'in' if inside else 'out'}."
    return pages.see(f"/segments/{segment_id}", note if done else f"Accepted: {note} They are moved within moments.")


@router.post(f"{ONE}/list")
def take(request: Request, segment_id: SegmentId, *, visit: Marketer, files: Files, parts: Parts, now: Now) -> Response:
    """Add the customers of a CSV file to a static segment."""
    try:
        file = chosen(files)
        with parts.engine.begin() as connection:
            ids, listed = segment_lists.add(connection, visit.key, segment_id, file.content, now)
    except RegularsError as error:
        told = forms.errors_of(error)
        return _one(request, visit, parts, segment_id, now=now, status=422, file_error=told["file"], bad=told[""])
    with parts.engine.connect() as connection:
        slot = segments.slot_of(connection, visit.organization_id, segment_id)
        segment_members.wait_until_set(connection, visit.organization_id, slot, ids, inside=True)
    return _one(request, visit, parts, segment_id, now=now, listed=listed)


@router.post(f"{ONE}/copy")
def freeze(
    request: Request, segment_id: SegmentId, *, visit: Marketer, form: Posted, parts: Parts, now: Now
) -> Response:
    """A static segment of those who are in this one now."""
    name = form.get("name", "").strip()
    try:
        with parts.engine.begin() as connection:
            color = segments.read(connection, visit.organization_id, segment_id).color
            values = {"name": name, "color": color, "kind": "static", "members_of": segment_id}
            made = segments.create(connection, visit.key, forms.read(NewSegment, values), now)
    except RegularsError as error:
        told = forms.errors_of(error)
        return _one(request, visit, parts, segment_id, now=now, status=422, copy_name=name, copy_errors=told)
    return pages.see(f"/segments/{made}", "Copied. The list fills now.")


@router.post(f"{ONE}/delete")
def remove(
    request: Request, segment_id: SegmentId, *, visit: Marketer, form: Posted, parts: Parts, now: Now
) -> Response:
    """Delete a segment that nothing uses; else say what does."""
    del form
    try:
        with parts.engine.begin() as connection:
            segments.remove(connection, visit.key, segment_id, now)
    except RegularsError as error:
        return _one(request, visit, parts, segment_id, now=now, status=409, bad=str(error))
    return pages.see("/segments", "Deleted.")


def _one(
    request: Request,
    visit: Visit,
    parts: Admin,
    segment_id: str,
    *,
    now: datetime,
    status: int = 200,
    cursor: str | None = None,
    **more: Any,
) -> Response:
    whose = (visit.organization_id, segment_id)
    with parts.engine.connect() as connection:
        segment = segments.read(connection, *whose)
        slot = segments.slot_of(connection, *whose)
        members = customers.page(connection, visit.organization_id, MEMBERS, cursor, slot=slot)
        history = segment_history.of(connection, *whose, DAYS, now)
        labels = memberships.labels(connection, visit.organization_id)
        uses = segment_uses.of(connection, *whose)
    shown: dict[str, Any] = {"segment": segment, "members": members, "labels": labels, "cursor": cursor}
    since = _since(segment, history, visit.organization.time_zone)
    shown |= {"history": since, "chart": _chart(since, visit.organization.time_zone), "uses": uses}
    shown |= {
        "bad": "",
        "ids": "",
        "ids_error": "",
        "file_error": "",
        "listed": None,
        "copy_name": "",
        "copy_errors": Errors(),
    }
    return pages.show(request, visit, "segment", status, **shown | more)


def _since(segment: Segment, history: History, time_zone: str) -> list[Day]:
    """Its days, and a week before it was made."""
    first = segment.created_at.astimezone(ZoneInfo(time_zone)).date() - timedelta(days=7)
    return [day for day in history.items if day.date >= first]


def _chart(days: list[Day], time_zone: str) -> dict[str, Any]:
    zone = ZoneInfo(time_zone)
    starts = [int(datetime.combine(day.date, time(), zone).timestamp()) for day in days]
    return {"x": starts, "series": [{"label": "Members", "values": [day.members for day in days]}]}

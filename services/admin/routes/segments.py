"""/segments and their members."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Response
from fastapi.responses import StreamingResponse

from services.admin import (
    customer_csv,
    customers,
    idempotency,
    segment_history,
    segment_lists,
    segment_members,
    segments,
)
from services.admin.access import IfMatch, Marketer, Now, Parts, RequestKey, Viewer
from services.admin.customers import Customer
from services.admin.paging import Cursor, Limit, Page
from services.admin.routes.answers import ACCEPTED, CSV, csv_answer
from services.admin.segment_history import History
from services.admin.segment_lists import Listed
from services.admin.segment_members import Members
from services.admin.segment_models import NewSegment, Preview, PreviewOf, Segment, SegmentChange
from services.admin.versions import etag
from shared.problems import described

router = APIRouter(tags=["segments"])
SegmentId = Annotated[str, Path(min_length=1, max_length=128)]
Days = Annotated[int, Query(ge=1, le=1_000)]
ONE = "/segments/{segment_id}"


@router.get("/segments")
def entries(key: Viewer, parts: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[Segment]:
    """By id."""
    with parts.engine.connect() as connection:
        return segments.page(connection, key.organization_id, limit, cursor)


@router.post("/segments", status_code=201, responses=described(409))
def create(
    wanted: NewSegment, *, key: Marketer, parts: Parts, now: Now, response: Response, request_key: RequestKey = None
) -> Segment:
    """Make a segment. It fills in the background: see state and progress."""
    with parts.engine.begin() as connection:
        segment_id = idempotency.once(
            connection, key, request_key, wanted, lambda: segments.create(connection, key, wanted, now)
        )
        made = segments.read(connection, key.organization_id, segment_id)
    response.headers["Location"] = f"/v1/segments/{segment_id}"
    response.headers["ETag"] = etag(made.version)
    return made


@router.post("/segments/preview")
def preview(wanted: PreviewOf, key: Viewer, parts: Parts, now: Now) -> Preview:
    """Who would be in, without saving anything."""
    with parts.engine.connect() as connection:
        return segments.preview(connection, key.organization_id, wanted.criteria, now)


@router.get(ONE)
def read(segment_id: SegmentId, key: Viewer, parts: Parts, response: Response) -> Segment:
    """One segment."""
    with parts.engine.connect() as connection:
        found = segments.read(connection, key.organization_id, segment_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch(ONE, responses=described(409, 412))
def change(
    segment_id: SegmentId,
    wanted: SegmentChange,
    *,
    key: Marketer,
    parts: Parts,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> Segment:
    """Change what is given. New criteria fill the segment again in the background."""
    with parts.engine.begin() as connection:
        changed = segments.change(connection, key, segment_id, wanted, now=now, if_match=if_match)
    response.headers["ETag"] = etag(changed.version)
    return changed


@router.delete(ONE, status_code=204, responses=described(409))
def remove(segment_id: SegmentId, key: Marketer, parts: Parts, now: Now) -> None:
    """Delete a segment that nothing uses."""
    with parts.engine.begin() as connection:
        segments.remove(connection, key, segment_id, now)


@router.get(f"{ONE}/history")
def history(segment_id: SegmentId, key: Viewer, parts: Parts, now: Now, days: Days = 90) -> History:
    """Members at the end of each day, and how many entered and left."""
    with parts.engine.connect() as connection:
        return segment_history.of(connection, key.organization_id, segment_id, days, now)


@router.get(f"{ONE}/members")
def members(
    segment_id: SegmentId, key: Viewer, parts: Parts, limit: Limit = 50, cursor: Cursor = None
) -> Page[Customer]:
    """Who is in, by customer_id."""
    with parts.engine.connect() as connection:
        slot = segments.slot_of(connection, key.organization_id, segment_id)
        return customers.page(connection, key.organization_id, limit, cursor, slot=slot)


@router.get(f"{ONE}/members.csv", response_class=StreamingResponse, responses=CSV)
def members_as_csv(segment_id: SegmentId, key: Viewer, parts: Parts) -> StreamingResponse:
    """The same, whole, with every profile field and stat."""
    with parts.engine.connect() as connection:
        slot = segments.slot_of(connection, key.organization_id, segment_id)
    return csv_answer(customer_csv.stream(parts.engine, key.organization_id, slot), f"{segment_id}.csv")


@router.post(f"{ONE}/members.csv", responses=described(409, 413) | ACCEPTED)
def add_by_csv(
    segment_id: SegmentId,
    file: Annotated[bytes, Body(media_type="text/csv", description="A header with customer_id; at most 1 MB.")] = b"",
    *,
    key: Marketer,
    parts: Parts,
    now: Now,
    response: Response,
) -> Listed:
    """Add the customers of a CSV to a static segment. Rows of nobody known are told, and keep no other row out."""
    with parts.engine.begin() as connection:
        added, listed = segment_lists.add(connection, key, segment_id, file, now)
    response.status_code = 200 if _are_set(segment_id, added, key, parts, inside=True) else 202
    return listed


@router.post(f"{ONE}/members", status_code=204, responses=described(409) | ACCEPTED)
def add(segment_id: SegmentId, wanted: Members, key: Marketer, parts: Parts, now: Now) -> Response:
    """Add customers to a static segment."""
    with parts.engine.begin() as connection:
        ids = segment_members.add(connection, key, segment_id, wanted.customer_ids, now)
    return _once_set(segment_id, ids, key, parts, inside=True)


@router.delete(f"{ONE}/members", status_code=204, responses=described(409) | ACCEPTED)
def take_out(segment_id: SegmentId, wanted: Members, key: Marketer, parts: Parts, now: Now) -> Response:
    """Remove customers from a static segment."""
    with parts.engine.begin() as connection:
        ids = segment_members.remove(connection, key, segment_id, wanted.customer_ids, now)
    return _once_set(segment_id, ids, key, parts, inside=False)


def _once_set(segment_id: str, customer_ids: list[str], key: Marketer, parts: Parts, *, inside: bool) -> Response:
    return Response(status_code=204 if _are_set(segment_id, customer_ids, key, parts, inside=inside) else 202)


def _are_set(segment_id: str, customer_ids: Collection[str], key: Marketer, parts: Parts, *, inside: bool) -> bool:
    with parts.engine.connect() as connection:
        slot = segments.slot_of(connection, key.organization_id, segment_id)
        return segment_members.wait_until_set(connection, key.organization_id, slot, customer_ids, inside=inside)

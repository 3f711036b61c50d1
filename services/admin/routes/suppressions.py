"""GET, POST, DELETE /suppressions: addresses that get no marketing mail."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Response

from services.admin import suppressions
from services.admin.access import Marketer, Now, Owner, Parts, Viewer
from services.admin.paging import Cursor, Limit, Page
from services.admin.suppressions import Addresses, Imported, NewAddresses, Suppression
from shared.problems import described

router = APIRouter(tags=["suppressions"])
File = Annotated[
    bytes, Body(media_type="text/csv", description="A header with email and, if you like, reason; at most 1 MB.")
]


@router.get("/suppressions")
def entries(
    *,
    key: Viewer,
    parts: Parts,
    limit: Limit = 50,
    cursor: Cursor = None,
    search: Annotated[str, Query(max_length=254, description="In the address.")] = "",
    reason: Literal["", "bounce", "complaint", "unsubscribe", "import"] = "",
) -> Page[Suppression]:
    """By address."""
    with parts.engine.connect() as connection:
        return suppressions.page(connection, key.organization_id, limit, cursor, search=search, reason=reason)


@router.post("/suppressions", status_code=201)
def add(wanted: NewAddresses, key: Marketer, parts: Parts, now: Now) -> Imported:
    """Suppress addresses, from the next mail on: what is queued for them is skipped."""
    with parts.engine.begin() as connection:
        return suppressions.add(connection, key, wanted, now)


@router.post("/suppressions.csv", status_code=201, responses=described(413))
def add_by_csv(key: Marketer, parts: Parts, now: Now, file: File = b"") -> Imported:
    """The same from a CSV. Rows that cannot be taken are told, and keep no other row out."""
    with parts.engine.begin() as connection:
        return suppressions.add_file(connection, key, file, now)


@router.delete("/suppressions", status_code=204, responses=described(409))
def remove(wanted: Addresses, key: Owner, parts: Parts) -> Response:
    """Take addresses out, all of them or, where one complained, none (409)."""
    with parts.engine.begin() as connection:
        suppressions.remove(connection, key, wanted.emails)
    return Response(status_code=204)

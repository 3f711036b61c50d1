"""Customers: the list, and one of them with what happened and what was decided."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from services.admin import (
    customer_csv,
    customers,
    decisions,
    lifetime_values,
    memberships,
    personal_data,
    segments,
    timeline,
)
from services.admin.access import Now, Parts
from services.admin.console import happenings, pages, profile_form
from services.admin.console.happenings import Line
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Marketer, Viewer, Visit
from services.admin.paging import Cursor, Page
from services.admin.routes.answers import csv_answer
from services.admin.timeline import Happening

PAGE: Final = 50
FIRST: Final = 15  # of a history, on the customer's page
ONE: Final = "/customers/{customer_id:path}"  # an id may hold a slash
CustomerId = Annotated[str, Path(min_length=1, max_length=64)]
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/customers")
def entries(
    request: Request,
    *,
    visit: Viewer,
    parts: Parts,
    cursor: Cursor = None,
    search: Annotated[str, Query(max_length=254)] = "",
    segment: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    """By id."""
    wanted = search.strip().replace("\0", "")
    with parts.engine.connect() as connection:
        slot = segments.slot_of(connection, visit.organization_id, segment) if segment else None
        found = customers.page(connection, visit.organization_id, PAGE, cursor, search=wanted, slot=slot)
        labels = memberships.labels(connection, visit.organization_id)
    shown: dict[str, Any] = {
        "found": found,
        "labels": labels,
        "search": wanted,
        "segment_id": segment,
        "cursor": cursor,
    }
    return pages.show(request, visit, "customers", **shown)


@router.get("/customers.csv")
def as_csv(visit: Viewer, parts: Parts) -> Response:
    """All of them, as the API's download."""
    return csv_answer(customer_csv.stream(parts.engine, visit.organization_id), "customers.csv")


@router.get(f"{ONE}/timeline")
def happened(
    request: Request, customer_id: CustomerId, *, visit: Viewer, parts: Parts, cursor: Cursor = None
) -> Response:
    """A page of the timeline, or the part of it that the customer's page asks for."""
    with parts.engine.connect() as connection:
        customer = customers.read(connection, visit.organization_id, customer_id)
        found = timeline.page(connection, visit.organization_id, customer_id, PAGE, cursor)
        lines = _lines(connection, visit, found)
    return _history(request, visit, customer=customer, kind="timeline", lines=lines, found=found)


@router.get(f"{ONE}/decisions")
def decided(
    request: Request, customer_id: CustomerId, *, visit: Viewer, parts: Parts, cursor: Cursor = None
) -> Response:
    """The same of the decision log."""
    with parts.engine.connect() as connection:
        customer = customers.read(connection, visit.organization_id, customer_id)
        found = decisions.of_customer(connection, visit.organization_id, customer_id, PAGE, cursor)
    return _history(request, visit, customer=customer, kind="decisions", lines=found.items, found=found)


@router.get(f"{ONE}/export")
def export(customer_id: CustomerId, visit: Marketer, parts: Parts, now: Now) -> Response:
    """All that is held of them, to be handed to them."""
    with parts.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        held = personal_data.export(connection, visit.organization_id, customer_id, now)
    return JSONResponse(held, headers={"Content-Disposition": 'attachment; filename="customer.json"'} | pages.HEADERS)


@router.get(ONE)
def read(request: Request, customer_id: CustomerId, visit: Viewer, parts: Parts) -> Response:
    """One customer. Behind all that begins like it: the path takes everything."""
    return one(request, visit, parts, customer_id)


def one(request: Request, visit: Visit, parts: Parts, customer_id: str, *, status: int = 200, **more: Any) -> Response:
    """The page of one."""
    whose = (visit.organization_id, customer_id)
    with parts.engine.connect() as connection:
        customer = customers.read(connection, *whose)
        now = parts.clock()
        value = lifetime_values.of_customer(connection, *whose, parts.learnt.of(connection, whose[0], now), now)
        happened = timeline.page(connection, *whose, FIRST, None)
        mails = decisions.of_customer(connection, *whose, FIRST, None)
        lines = _lines(connection, visit, happened)
        labels = memberships.labels(connection, visit.organization_id)
    shown: dict[str, Any] = {"customer": customer, "labels": labels, "lines": lines, "happened": happened}
    shown |= {"value": value} | {name: profile_form.in_words(getattr(customer, name)) for name in profile_form.DAYS}
    return pages.show(request, visit, "customer", status, **shown | {"mails": mails, "bad": ""} | more)


def _lines(connection: Connection, visit: Visit, found: Page[Happening]) -> list[Line]:
    labels = memberships.labels(connection, visit.organization_id)
    return [happenings.told(each, visit.organization.currency, labels) for each in found.items]


def _history(request: Request, visit: Visit, **shown: Any) -> Response:
    template = "customer_history_part" if "HX-Request" in request.headers else "customer_history"
    return pages.show(request, visit, template, **shown)

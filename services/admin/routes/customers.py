"""The list of customers, the CSV, and one customer: read, created, changed, erased."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Path, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

from services.admin import customer_csv, customers, lifetime_values, segments
from services.admin.access import IfMatch, Marketer, Now, Parts, RequestKey, Viewer
from services.admin.customer_edits import Edited
from services.admin.customers import Customer
from services.admin.lifetime_values import LifetimeValue
from services.admin.paging import Cursor, Limit, Page
from services.admin.routes.answers import ACCEPTED, CSV, csv_answer
from services.admin.routes.customer_body import CHANGE, NEW
from shared.problems import described

router = APIRouter(tags=["customers"])


class CustomerInFull(Customer):
    """With what they are worth."""

    lifetime_value: LifetimeValue


# An id may hold a slash.
CustomerId = Annotated[str, Path(min_length=1, max_length=64)]
Given = Annotated[dict[str, Any], Body()]
ONE = "/customers/{customer_id:path}"


@router.get("/customers")
def entries(
    *,
    key: Viewer,
    parts: Parts,
    limit: Limit = 50,
    cursor: Cursor = None,
    search: Annotated[
        str, Query(max_length=254, description="The beginning of an id, an address or words of a name.")
    ] = "",
    segment: Annotated[str | None, Query(max_length=128, description="Members of this segment only.")] = None,
) -> Page[Customer]:
    """By customer_id."""
    with parts.engine.connect() as connection:
        slot = None if segment is None else segments.slot_of(connection, key.organization_id, segment)
        return customers.page(connection, key.organization_id, limit, cursor, search=search, slot=slot)


@router.get("/customers.csv", response_class=StreamingResponse, responses=CSV)
def as_csv(key: Viewer, parts: Parts) -> StreamingResponse:
    """Every profile field and stat, one column each."""
    return csv_answer(customer_csv.stream(parts.engine, key.organization_id), "customers.csv")


@router.post(
    "/customers", status_code=201, response_model=Customer, openapi_extra=NEW, responses=described(409) | ACCEPTED
)
def create(
    *, given: Given, key: Marketer, parts: Parts, now: Now, response: Response, request_key: RequestKey = None
) -> Customer | JSONResponse:
    """Create a customer."""
    edited = parts.edits.create(key, given, now, request_key)
    answer = _answer(edited, response)
    told = answer if isinstance(answer, JSONResponse) else response
    told.headers["Location"] = f"/v1/customers/{quote(edited.customer_id)}"
    return answer


@router.get(ONE)
def read(customer_id: CustomerId, key: Viewer, parts: Parts, now: Now, response: Response) -> CustomerInFull:
    """Profile, stats, segments and lifetime value. The ETag changes with the profile, not with sales."""
    whose = key.organization_id
    with parts.engine.connect() as connection:
        found = customers.read(connection, whose, customer_id)
        habits = parts.learnt.of(connection, whose, now)
        value = lifetime_values.of_customer(connection, whose, customer_id, habits, now)
    response.headers["ETag"] = customers.etag(found)
    return CustomerInFull(**dict(found), lifetime_value=value)


@router.patch(ONE, response_model=Customer, openapi_extra=CHANGE, responses=described(412) | ACCEPTED)
def change(
    *,
    customer_id: CustomerId,
    given: Given,
    key: Marketer,
    parts: Parts,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> Customer | JSONResponse:
    """Change what is given; null clears."""
    return _answer(parts.edits.change(key, customer_id, given, now, if_match), response)


@router.delete(ONE, status_code=204, responses=ACCEPTED)
def erase(customer_id: CustomerId, key: Marketer, parts: Parts, now: Now) -> Response:
    """Erase a customer for good: personal data goes, the ledger stays without a name."""
    return Response(status_code=204) if parts.edits.erase(key, customer_id, now) else _accepted(customer_id)


def _answer(edited: Edited, response: Response) -> Customer | JSONResponse:
    if edited.customer is None:
        return _accepted(edited.customer_id)
    response.headers["ETag"] = customers.etag(edited.customer)
    return edited.customer


def _accepted(customer_id: str) -> JSONResponse:
    detail = "The change is safe in Kafka but not counted yet. Read the customer again in a moment."
    return JSONResponse({"customer_id": customer_id, "detail": detail}, 202)

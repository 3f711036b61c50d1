"""/coupons, their redemptions, grants and unique codes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response
from fastapi.responses import StreamingResponse

from services.admin import coupon_counts, coupon_grants, coupons, idempotency, unique_codes
from services.admin.access import IfMatch, Marketer, Now, Parts, RequestKey, Viewer
from services.admin.coupon_counts import Redemption
from services.admin.coupon_grants import Grant, Granted, GrantsOf, NewGrants
from services.admin.coupon_models import Copy, CopyOf, Coupon, NewCoupon
from services.admin.paging import Cursor, Limit, Page
from services.admin.routes.answers import CSV, csv_answer
from services.admin.unique_codes import Made, NewCodes, UniqueCode
from services.admin.versions import etag
from shared.problems import described

router = APIRouter(tags=["coupons"])
Code = Annotated[str, Path(min_length=1, max_length=64)]
ONE = "/coupons/{code}"


@router.get("/coupons")
def entries(key: Viewer, parts: Parts, now: Now, limit: Limit = 50, cursor: Cursor = None) -> Page[Coupon]:
    """By code, with how each does."""
    with parts.engine.connect() as connection:
        return coupons.page(connection, key.organization_id, limit, cursor, now)


@router.post("/coupons", status_code=201, responses=described(409))
def create(
    wanted: NewCoupon, *, key: Marketer, parts: Parts, now: Now, response: Response, request_key: RequestKey = None
) -> Coupon:
    """Make a coupon; without a code it gets a new one. `warnings` tells what of the code is easily misread."""
    with parts.engine.begin() as connection:
        code = idempotency.once(
            connection, key, request_key, wanted, lambda: coupons.create(connection, key, wanted, now)
        )
        made = coupons.read(connection, key.organization_id, code, now)
    response.headers["Location"] = f"/v1/coupons/{code}"
    response.headers["ETag"] = etag(made.version)
    return made


@router.get(ONE)
def read(code: Code, key: Viewer, parts: Parts, now: Now, response: Response) -> Coupon:
    """One coupon."""
    with parts.engine.connect() as connection:
        found = coupons.read(connection, key.organization_id, code, now)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch(ONE, responses=described(409, 412))
def change(
    code: Code,
    given: Annotated[dict[str, Any], Body(description="Any of a coupon's fields but its code; null clears.")],
    *,
    key: Marketer,
    parts: Parts,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> Coupon:
    """Change what is given, at the tills from the next question on. Type and value stay once it was used."""
    with parts.engine.begin() as connection:
        changed = coupons.change(connection, key, code, given, now=now, if_match=if_match)
    response.headers["ETag"] = etag(changed.version)
    return changed


@router.post(f"{ONE}/copies", status_code=201, responses=described(409))
def copy(
    code: Code,
    *,
    key: Marketer,
    parts: Parts,
    now: Now,
    wanted: Copy | None = None,
    request_key: RequestKey = None,
) -> Coupon:
    """The same rules under another code, paused, to be changed and then activated."""
    of = CopyOf(coupon_code=code, code=wanted.code if wanted else None)
    with parts.engine.begin() as connection:
        made = idempotency.once(
            connection, key, request_key, of, lambda: coupons.copy(connection, key, code, of.code, now)
        )
        return coupons.read(connection, key.organization_id, made, now)


@router.get(f"{ONE}/redemptions")
def redemptions(
    code: Code,
    *,
    key: Viewer,
    parts: Parts,
    limit: Limit = 50,
    cursor: Cursor = None,
    over_limit: Annotated[bool, Query(description="Only those beyond a limit.")] = False,
) -> Page[Redemption]:
    """Newest first, those given back too."""
    with parts.engine.connect() as connection:
        its_code = coupons.row_of(connection, key.organization_id, code).code
        return coupon_counts.redemptions(connection, key.organization_id, its_code, limit, cursor, only_over=over_limit)


@router.get(f"{ONE}/days")
def days(
    code: Code, key: Viewer, parts: Parts, now: Now, days: Annotated[int, Query(ge=1, le=1_000)] = 90
) -> coupon_counts.Days:
    """Redemptions, discount given and revenue by day and store."""
    with parts.engine.connect() as connection:
        its_code = coupons.row_of(connection, key.organization_id, code).code
        return coupon_counts.by_day(connection, key.organization_id, its_code, days, now)


@router.get(f"{ONE}/grants")
def grants(code: Code, key: Viewer, parts: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[Grant]:
    """Who has it, by customer_id."""
    with parts.engine.connect() as connection:
        return coupon_grants.page(connection, key.organization_id, code, limit, cursor)


@router.post(f"{ONE}/grants", status_code=201)
def grant(
    code: Code, wanted: NewGrants, *, key: Marketer, parts: Parts, now: Now, request_key: RequestKey = None
) -> Granted:
    """Give it to customers. From the first grant on only who has one can use it (`grants_only`)."""
    with parts.engine.begin() as connection:
        told = idempotency.once(
            connection,
            key,
            request_key,
            GrantsOf(coupon_code=code, wanted=wanted),
            lambda: coupon_grants.give(connection, key, code, wanted, now).model_dump_json(),
        )
    return Granted.model_validate_json(told)


@router.get(f"{ONE}/unique-codes")
def codes(code: Code, key: Viewer, parts: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[UniqueCode]:
    """Its unique codes and what became of them."""
    with parts.engine.connect() as connection:
        return unique_codes.page(connection, key.organization_id, code, limit, cursor)


@router.get(f"{ONE}/unique-codes.csv", response_class=StreamingResponse, responses=CSV)
def codes_as_csv(code: Code, key: Viewer, parts: Parts) -> StreamingResponse:
    """The same, whole."""
    chunks = unique_codes.stream(parts.engine, key.organization_id, code)
    return csv_answer(chunks, "unique-codes.csv")


@router.post(f"{ONE}/unique-codes", status_code=201)
def make_codes(
    code: Code, wanted: NewCodes, *, key: Marketer, parts: Parts, now: Now, request_key: RequestKey = None
) -> Made:
    """Make codes for one use each: up to a million for whoever has them, or one for each of some customers."""
    with parts.engine.begin() as connection:
        return unique_codes.make_once(connection, key, request_key, code, wanted, now=now)

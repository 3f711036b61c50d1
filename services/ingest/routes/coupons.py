"""Coupons at the till: quote, hold, commit, release. As the API describes them, and for requests that need more than a
glance: `services.ingest.till.express` answers most.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from services.ingest.parts import Parts, parts_of, terminal_key
from services.ingest.rate_limit import too_many
from services.ingest.routes.basket import BasketBody
from services.ingest.till import operations
from services.ingest.till.asked import code_of
from shared.keys import Key
from shared.problems import described

router = APIRouter(tags=["coupons at the till"])
Code = Annotated[
    str, Path(max_length=256, description="As the customer says it: case, blanks and dashes do not matter.")
]
HoldId = Annotated[str, Path(max_length=512)]
Terminal = Annotated[Key, Depends(terminal_key)]


class WhyNot(BaseModel):
    """One reason, with a sentence that a cashier can read out."""

    code: str
    message: str


class LineDiscount(BaseModel):
    """What comes off a line of the basket, counted from 0."""

    index: int
    discount: int


class Quote(BaseModel):
    """What the coupon takes off in minor units, or every reason why it takes off nothing."""

    valid: bool
    discount: int | None = None
    lines: list[LineDiscount] | None = Field(None, description="They add up to the discount.")
    reasons: list[WhyNot] | None = None


class Hold(BaseModel):
    """A use of the coupon that is kept for a sale until `expires_at`."""

    id: str
    code: str
    sale_id: str
    discount: int
    lines: list[LineDiscount]
    expires_at: str | None


class Redemption(BaseModel):
    """A use of the coupon that counts."""

    id: str
    code: str
    sale_id: str
    discount: int
    redeemed_at: str | None


@router.post(
    "/v1/coupons/{code}/quote",
    response_model=Quote,
    response_model_exclude_none=True,
    responses=described(401, 403, 422, 429, 503),
)
async def quote(request: Request, code: Code, basket: BasketBody, key: Terminal) -> Response:
    """What a basket would get off now. Nothing is reserved."""
    parts = _within_limit(request, key)
    return _response(await operations.quote(parts, basket.wanted(key.organization_id, code_of(code))))


@router.post(
    "/v1/coupons/{code}/holds",
    status_code=201,
    response_model=Hold,
    responses={
        200: {"model": Hold, "description": "The same sale again: its hold as it is"},
        **described(401, 403, 409, 422, 429, 503),
    },
)
async def hold(request: Request, code: Code, basket: BasketBody, key: Terminal) -> Response:
    """Keep a use for a sale, ten minutes by default. The same sale again: 200 with the same hold; after it ran out or
    was released, a new look. 409 tells every reason why not.
    """
    parts = _within_limit(request, key)
    return _response(await operations.hold(parts, basket.wanted(key.organization_id, code_of(code))))


@router.post("/v1/holds/{hold_id}/commit", response_model=Redemption, responses=described(401, 403, 404, 409, 429, 503))
async def commit(request: Request, hold_id: HoldId, key: Terminal) -> Response:
    """Redeem: the sale is paid. Again: the same answer. After the hold ran out it succeeds while the limits allow."""
    return _response(await operations.commit(_within_limit(request, key), key, hold_id))


@router.delete("/v1/holds/{hold_id}", status_code=204, responses=described(401, 403, 404, 409, 429, 503))
async def release(request: Request, hold_id: HoldId, key: Terminal) -> Response:
    """Free it: the sale was broken off, or the customer keeps the coupon. Again: 204."""
    return _response(await operations.release(_within_limit(request, key), key, hold_id))


def _within_limit(request: Request, key: Key) -> Parts:
    parts = parts_of(request)
    wait = parts.rate_limit.take(key.organization_id, key.key_id, 1, time.monotonic())
    if wait:
        raise too_many(parts.settings.rate_limit, wait)
    return parts


def _response(reply: operations.Reply) -> Response:
    return Response(reply.body, reply.status, media_type="application/json" if reply.body else None)

"""Coupons at the till: quote, hold, commit, release."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from services.ingest.parts import Parts, parts_of, terminal_key
from services.ingest.rate_limit import too_many
from services.ingest.routes.basket import BasketBody
from services.ingest.till.asked import Named, Redeemed, Unknown, Use, hold_at, id_of
from shared import metrics
from shared.domain.coupons import Refused
from shared.domain.coupons.codes import MOST_TYPED, normalise
from shared.keys import Key
from shared.problems import Problem, described

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


@router.post("/v1/coupons/{code}/quote", response_model_exclude_none=True, responses=described(401, 403, 422, 429, 503))
async def quote(request: Request, code: Code, basket: BasketBody, key: Terminal) -> Quote:
    """What a basket would get off now. Nothing is reserved."""
    parts = _within_limit(request, key)
    decision = await parts.quotes.ask(basket.wanted(key.organization_id, _read(code)))
    if isinstance(decision, Refused):
        _count("quote_refused")
        return Quote(valid=False, reasons=_reasons(decision))
    _count("quote_valid")
    return Quote(valid=True, discount=decision.discount, lines=_lines(decision.lines))


@router.post("/v1/coupons/{code}/holds", status_code=201, responses=described(401, 403, 409, 422, 429, 503))
async def hold(request: Request, code: Code, basket: BasketBody, key: Terminal, response: Response) -> Hold:
    """Keep a use for a sale, ten minutes by default. The same sale again: 200 with the same hold; after it ran out or
    was released, a new look. 409 tells every reason why not.
    """
    parts = _within_limit(request, key)
    answer = await parts.bookings.ask(basket.wanted(key.organization_id, _read(code)))
    if isinstance(answer, Refused):
        _count("hold_refused")
        raise _conflict("The coupon does not count for this basket.", answer)
    assert isinstance(answer, Use)  # noqa: S101 - a hold is held or refused
    _count("held" if answer.is_new else "held_before")
    response.status_code = 201 if answer.is_new else 200
    return Hold(
        id=id_of(answer.place),
        code=answer.place[1],
        sale_id=answer.place[2],
        discount=answer.discount,
        lines=_lines(answer.lines),
        expires_at=_instant(answer.expires_at),
    )


@router.post("/v1/holds/{hold_id}/commit", responses=described(401, 403, 404, 409, 429, 503))
async def commit(request: Request, hold_id: HoldId, key: Terminal) -> Redemption:
    """Redeem: the sale is paid. Again: the same answer. After the hold ran out it succeeds while the limits allow."""
    parts = _within_limit(request, key)
    answer = await parts.bookings.ask(_named(key, hold_id))
    if isinstance(answer, Unknown):
        raise _no_hold(hold_id)
    if isinstance(answer, Refused):
        _count("commit_refused")
        raise _conflict("The hold ran out, and the coupon is not free any more.", answer)
    assert isinstance(answer, Use)  # noqa: S101 - it is redeemed, refused or unknown
    _count("committed")
    parts.redeemed.wake()
    return Redemption(
        id=id_of(answer.place),
        code=answer.place[1],
        sale_id=answer.place[2],
        discount=answer.discount,
        redeemed_at=_instant(answer.redeemed_at),
    )


@router.delete("/v1/holds/{hold_id}", status_code=204, responses=described(401, 403, 404, 409, 429, 503))
async def release(request: Request, hold_id: HoldId, key: Terminal) -> None:
    """Free it: the sale was broken off, or the customer keeps the coupon. Again: 204."""
    parts = _within_limit(request, key)
    answer = await parts.bookings.ask(_named(key, hold_id, is_release=True))
    if isinstance(answer, Unknown):
        raise _no_hold(hold_id)
    if isinstance(answer, Redeemed):
        _count("release_refused")
        detail = "This hold was committed. To give the coupon back, void or refund the sale."
        raise Problem(409, "Conflict", detail, members={"reasons": []})
    _count("released")


def _within_limit(request: Request, key: Key) -> Parts:
    parts = parts_of(request)
    wait = parts.rate_limit.take(key.organization_id, key.key_id, 1, time.monotonic())
    if wait:
        raise too_many(parts.settings.rate_limit, wait)
    return parts


def _read(code: str) -> str:
    return normalise(code.replace("\0", ""))[:MOST_TYPED]


def _named(key: Key, hold_id: str, *, is_release: bool = False) -> Named:
    place = hold_at(key.organization_id, hold_id)
    if place is None:
        raise _no_hold(hold_id)
    return Named(place, is_release)


def _no_hold(hold_id: str) -> Problem:
    detail = f"There is no hold {hold_id}. POST /v1/coupons/{{code}}/holds makes one."
    return Problem(404, "Not Found", detail)


def _conflict(detail: str, refused: Refused) -> Problem:
    reasons = [{"code": str(reason.code), "message": reason.message} for reason in refused.reasons]
    return Problem(409, "Conflict", f"{detail} {reasons[0]['message']}", members={"reasons": reasons})


def _reasons(refused: Refused) -> list[WhyNot]:
    return [WhyNot(code=str(reason.code), message=reason.message) for reason in refused.reasons]


def _lines(lines: tuple[tuple[int, int], ...]) -> list[LineDiscount]:
    return [LineDiscount(index=index, discount=discount) for index, discount in lines]


def _instant(at: Any) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _count(outcome: str) -> None:
    metrics.coupon_decisions.labels(outcome).inc()

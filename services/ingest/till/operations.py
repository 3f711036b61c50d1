"""Quote, hold, commit, release: what a till is answered, whichever way its request was read."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
from prometheus_client import Counter

from services.ingest.parts import Parts
from services.ingest.till.asked import Named, Redeemed, Unknown, Use, Wanted, hold_at, id_of
from shared import metrics
from shared.domain.coupons import Refused
from shared.keys import Key
from shared.problems import Problem


class Reply(NamedTuple):
    """A status, and JSON or nothing."""

    status: int
    body: bytes = b""


async def quote(parts: Parts, wanted: Wanted) -> Reply:
    """What a basket would get off now. Nothing is reserved."""
    decision = await parts.quotes.ask(wanted)
    if isinstance(decision, Refused):
        _count("quote_refused")
        return _reply(200, {"valid": False, "reasons": _reasons(decision)})
    _count("quote_valid")
    return _reply(200, {"valid": True, "discount": decision.discount, "lines": _lines(decision.lines)})


async def hold(parts: Parts, wanted: Wanted) -> Reply:
    """201 for a new hold, 200 with the same for the same sale. Raises Problem 409."""
    answer = await parts.bookings.ask(wanted)
    if isinstance(answer, Refused):
        _count("hold_refused")
        raise _conflict("The coupon does not count for this basket.", answer)
    assert isinstance(answer, Use)  # noqa: S101 - a hold is held or refused
    _count("held" if answer.is_new else "held_before")
    held = {"lines": _lines(answer.lines), "expires_at": _instant(answer.expires_at)}
    return _reply(201 if answer.is_new else 200, _shown(answer) | held)


async def commit(parts: Parts, key: Key, hold_id: str) -> Reply:
    """200, and again the same. Raises Problem 404 and 409."""
    answer = await parts.bookings.ask(_named(key, hold_id))
    if isinstance(answer, Unknown):
        raise _no_hold(hold_id)
    if isinstance(answer, Refused):
        _count("commit_refused")
        raise _conflict("The hold ran out, and the coupon is not free any more.", answer)
    assert isinstance(answer, Use)  # noqa: S101 - it is redeemed, refused or unknown
    _count("committed")
    parts.redemptions.wake()
    return _reply(200, _shown(answer) | {"redeemed_at": _instant(answer.redeemed_at)})


async def release(parts: Parts, key: Key, hold_id: str) -> Reply:
    """204, and again. Raises Problem 404 and 409."""
    answer = await parts.bookings.ask(_named(key, hold_id, is_release=True))
    if isinstance(answer, Unknown):
        raise _no_hold(hold_id)
    if isinstance(answer, Redeemed):
        _count("release_refused")
        detail = "This hold was committed. To give the coupon back, void or refund the sale."
        raise Problem(409, "Conflict", detail, members={"reasons": []})
    _count("released")
    return Reply(204)


def _named(key: Key, hold_id: str, *, is_release: bool = False) -> Named:
    place = hold_at(key.organization_id, hold_id)
    if place is None:
        raise _no_hold(hold_id)
    return Named(place, is_release)


def _no_hold(hold_id: str) -> Problem:
    detail = f"There is no hold {hold_id}. POST /v1/coupons/{{code}}/holds makes one."
    return Problem(404, "Not Found", detail)


def _conflict(detail: str, refused: Refused) -> Problem:
    reasons = _reasons(refused)
    return Problem(409, "Conflict", f"{detail} {reasons[0]['message']}", members={"reasons": reasons})


def _reasons(refused: Refused) -> list[dict[str, str]]:
    return [{"code": str(reason.code), "message": reason.message} for reason in refused.reasons]


def _shown(use: Use) -> dict[str, Any]:
    _, code, sale_id = use.place
    return {"id": id_of(use.place), "code": code, "sale_id": sale_id, "discount": use.discount}


def _lines(lines: tuple[tuple[int, int], ...]) -> list[dict[str, int]]:
    return [{"index": index, "discount": discount} for index, discount in lines]


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _reply(status: int, content: dict[str, Any]) -> Reply:
    return Reply(status, msgspec.json.encode(content))


def _count(outcome: str) -> None:
    _counter(outcome).inc()


@cache
def _counter(outcome: str) -> Counter:
    return metrics.coupon_decisions.labels(outcome)

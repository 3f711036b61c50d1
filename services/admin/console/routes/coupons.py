"""Coupons: the list, the page of one with its redemptions, and its state."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from services.admin import coupon_counts, coupons
from services.admin.access import Now, Parts
from services.admin.console import coupon_words, pages
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.routes.campaigns import names_of_segments
from services.admin.console.visit import Marketer, Posted, Viewer
from services.admin.coupon_counts import Day
from services.admin.paging import Cursor

PAGE: Final = 50
DAYS: Final = 90
STATES: Final = {
    "active": "It is active: tills take it.",
    "paused": "It is paused: tills refuse it from now on.",
    "archived": "It is archived.",
}
router = APIRouter(prefix=f"{HOME}/coupons", route_class=PageRoute, include_in_schema=False)
Code = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("")
def entries(request: Request, visit: Viewer, parts: Parts, now: Now, cursor: Cursor = None) -> Response:
    """All of them."""
    with parts.engine.connect() as connection:
        found = coupons.page(connection, visit.organization_id, PAGE, cursor, now)
    return pages.show(request, visit, "coupons", found=found, cursor=cursor, words_of=coupon_words)


@router.get("/{code}")
def read(
    request: Request,
    visit: Viewer,
    parts: Parts,
    *,
    now: Now,
    code: Code,
    cursor: Cursor = None,
    over_limit: bool = False,
) -> Response:
    """One: its rules, how it does, its redemptions."""
    own = visit.organization_id
    with parts.engine.connect() as connection:
        found = coupons.read(connection, own, code, now)
        uses = coupon_counts.redemptions(connection, own, found.code, PAGE, cursor, only_over=over_limit)
        days = coupon_counts.by_day(connection, own, found.code, DAYS, now).items
        names = names_of_segments(connection, own)
    return pages.show(
        request,
        visit,
        "coupon",
        coupon=found,
        found=uses,
        cursor=cursor,
        over_limit=over_limit,
        days=_by_date(days),
        chart=_chart(days),
        names=names,
        words_of=coupon_words,
    )


@router.post("/{code}/state")
def set_state(visit: Marketer, form: Posted, parts: Parts, now: Now, code: Code) -> Response:
    """Pause, activate or archive it."""
    state = form.get("state", "")
    with parts.engine.begin() as connection:
        found = coupons.change(connection, visit.key, code, {"state": state}, now=now)
    return pages.see(f"/coupons/{found.code}", STATES[state])


@router.post("/{code}/copies")
def copy(visit: Marketer, form: Posted, parts: Parts, now: Now, code: Code) -> Response:
    """The same rules under a new code, paused, to be changed."""
    del form
    with parts.engine.begin() as connection:
        made = coupons.copy(connection, visit.key, code, None, now)
    return pages.see(f"/coupons/-/edit?code={made}", f"{made} is a copy, paused: change it, then activate it.")


def _by_date(days: list[Day]) -> dict[date, dict[str, int]]:
    """All stores together, newest first."""
    names = ("redemptions", "over_limit", "discount_given", "revenue")
    sums: dict[date, dict[str, int]] = {}
    for day in days:
        sum_of = sums.setdefault(day.date, dict.fromkeys(names, 0))
        for name in names:
            sum_of[name] += getattr(day, name)
    return sums


def _chart(days: list[Day]) -> dict[str, Any] | None:
    """Redemptions of each day from the first one with some on; at noon, which is that day on most clocks."""
    sums = _by_date(days)
    if not sums:
        return None
    first = min(sums)
    dates = [first + timedelta(days=place) for place in range((max(sums) - first).days + 1)]
    noons = [int(datetime.fromisoformat(f"{each}T12:00:00Z").timestamp()) for each in dates]
    values = [sums[each]["redemptions"] if each in sums else 0 for each in dates]
    return {"x": noons, "series": [{"label": "Redemptions", "values": values}]}

"""Who has a coupon: its grants and its unique codes."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from services.admin import coupon_grants, coupons, unique_codes
from services.admin.access import Admin, Now, Parts
from services.admin.console import forms, pages
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.routes.coupons import PAGE, Code
from services.admin.console.visit import Form, Marketer, Posted, Viewer, Visit
from services.admin.coupon_grants import NewGrants
from services.admin.paging import Cursor
from services.admin.routes.answers import csv_answer
from services.admin.unique_codes import NewCodes
from shared.errors import RegularsError

NAMES: Final = frozenset({"customer_ids", "count", "days", "expires_at"})
router = APIRouter(prefix=f"{HOME}/coupons", route_class=PageRoute, include_in_schema=False)


@router.get("/{code}/grants")
def grants(request: Request, visit: Viewer, parts: Parts, *, now: Now, code: Code, cursor: Cursor = None) -> Response:
    """Who has it, until when."""
    return _grants(request, visit, parts, code, now=now, cursor=cursor)


@router.post("/{code}/grants")
def grant(request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, code: Code) -> Response:
    """Give it to customers."""
    try:
        wanted = forms.read(NewGrants, _whom(form) | _until(form, visit))
        with parts.engine.begin() as connection:
            given = coupon_grants.give(connection, visit.key, code, wanted, now)
    except RegularsError as error:
        return _grants(request, visit, parts, code, now=now, status=422, given=form, errors=_errors(error))
    return pages.see(f"/coupons/{code}/grants", f"Granted to {given.granted:,}.")


@router.get("/{code}/codes")
def codes(request: Request, visit: Viewer, parts: Parts, *, now: Now, code: Code, cursor: Cursor = None) -> Response:
    """Its unique codes, and what became of them."""
    return _codes(request, visit, parts, code, now=now, cursor=cursor)


@router.post("/{code}/codes")
def make(request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, code: Code) -> Response:
    """Make some. The form's own key lets a button that is pressed twice make them once."""
    request_key = form.get("request_key") or None
    try:
        number = forms.whole(form.get("count", ""))
        whom = _whom(form)
        wanted = forms.read(NewCodes, {"count": number} | whom | _until(form, visit))
        with parts.engine.begin() as connection:
            made = unique_codes.make_once(connection, visit.key, request_key, code, wanted, now=now)
    except RegularsError as error:
        return _codes(request, visit, parts, code, now=now, status=422, given=form, errors=_errors(error))
    return pages.see(f"/coupons/{code}/codes", f"Codes made: {made.created:,}.")


@router.get("/{code}/codes.csv")
def codes_as_csv(visit: Viewer, parts: Parts, code: Code) -> Response:
    """All of them."""
    return csv_answer(unique_codes.stream(parts.engine, visit.organization_id, code), f"{code}-unique-codes.csv")


def _whom(form: Form) -> dict[str, Any]:
    return {"customer_ids": forms.listed(form.get("customer_ids", ""))}


def _until(form: Form, visit: Visit) -> dict[str, Any]:
    at = forms.instant(form.get("expires_at", ""), visit.organization.time_zone, "expires_at")
    return {"days": form.get("days", "").strip() or None, "expires_at": at}


def _errors(error: RegularsError) -> Errors:
    return forms.at_fields(forms.errors_of(error), NAMES)


def _grants(
    request: Request, visit: Visit, parts: Admin, code: str, *, now: datetime, cursor: str | None = None, **more: Any
) -> Response:
    with parts.engine.connect() as connection:
        coupon = coupons.read(connection, visit.organization_id, code, now)
        found = coupon_grants.page(connection, visit.organization_id, code, PAGE, cursor)
    shown: dict[str, Any] = {"given": Form(), "errors": Errors(), "cursor": cursor} | more
    return pages.show(request, visit, "coupon_grants", coupon=coupon, found=found, **shown)


def _codes(
    request: Request, visit: Visit, parts: Admin, code: str, *, now: datetime, cursor: str | None = None, **more: Any
) -> Response:
    with parts.engine.connect() as connection:
        coupon = coupons.read(connection, visit.organization_id, code, now)
        found = unique_codes.page(connection, visit.organization_id, code, PAGE, cursor)
    shown: dict[str, Any] = {"given": Form(), "errors": Errors(), "cursor": cursor} | more
    request_key = secrets.token_urlsafe(16)
    return pages.show(request, visit, "coupon_codes", coupon=coupon, found=found, request_key=request_key, **shown)

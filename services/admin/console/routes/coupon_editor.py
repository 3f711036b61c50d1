"""Making coupons and changing them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from services.admin import coupons
from services.admin.access import Admin, Now, Parts
from services.admin.console import coupon_form, forms, pages
from services.admin.console.coupon_form import Fields
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.routes.campaigns import names_of_segments
from services.admin.console.visit import Marketer, Posted, Visit
from services.admin.coupon_models import Coupon, NewCoupon, Rules
from services.admin.starting_campaigns import templates
from services.admin.starting_segments import Thresholds
from services.admin.versions import etag
from shared.domain.coupons.codes import normalise, warnings
from shared.domain.coupons.rules import WEEKDAYS
from shared.errors import RegularsError
from shared.problems import of as problem_of

KEPT: Final = {409, 412}  # answered as they are; any other refusal is one of the form
# "-" is no code: none of these addresses can ever mean one.
router = APIRouter(prefix=f"{HOME}/coupons/-", route_class=PageRoute, include_in_schema=False)
Named = Annotated[str, Query(max_length=64)]


@router.get("/edit")
def edit(
    request: Request, visit: Marketer, parts: Parts, *, now: Now, code: Named = "", template: Named = ""
) -> Response:
    """One that is there, or a new one: blank, or as a starting template wants it."""
    if code:
        with parts.engine.connect() as connection:
            found = coupons.read(connection, visit.organization_id, code, now)
        return _editor(request, visit, parts, coupon_form.fields_of(_rules(found), visit.organization), found)
    wanted = NewCoupon(type="percentage", value=Decimal(10))
    for each in templates(Thresholds.of(visit.organization.currency)):
        if template and each.coupon is not None and each.coupon["code"] == template:
            wanted = NewCoupon.model_validate(each.coupon)
    fields = coupon_form.fields_of(wanted, visit.organization) | {"code": wanted.code or ""}
    return _editor(request, visit, parts, fields, None)


@router.post("/edit")
def save(request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, code: Named = "") -> Response:
    """Save it; a new one without a code gets one."""
    typed = coupon_form.typed_fields(form)
    found: Coupon | None = None
    if code:
        with parts.engine.connect() as connection:
            found = coupons.read(connection, visit.organization_id, code, now)
    try:
        rules = coupon_form.rules_of(typed, visit.organization)
        with parts.engine.begin() as connection:
            if found is None:
                wanted = forms.read(NewCoupon, rules | {"code": form.get("code", "").strip() or None})
                code = coupons.create(connection, visit.key, wanted, now)
            else:
                forms.read(Rules, rules)
                stored = coupon_form.fields_of(_rules(found), visit.organization)
                given = coupon_form.changed(typed, stored, rules)
                version = form.get("version", "")
                if_match = etag(int(version)) if version.isdecimal() else ""
                coupons.change(connection, visit.key, code, given, now=now, if_match=if_match)
    except RegularsError as error:
        status = problem_of(error).status
        errors = forms.at_fields(forms.errors_of(error), coupon_form.NAMES)
        typed |= {"code": form.get("code", "")}
        return _editor(request, visit, parts, typed, found, status=status if status in KEPT else 422, errors=errors)
    return pages.see(f"/coupons/{code}", "Saved.")


@router.get("/warnings")
def warn(request: Request, visit: Marketer, code: Named = "") -> Response:
    """What of a code is easily misread."""
    return pages.show(request, visit, "coupon_warnings", warnings=warnings(normalise(code)))


def _rules(found: Coupon) -> Rules:
    return Rules.model_validate(found.model_dump(include=set(Rules.model_fields)))


def _editor(
    request: Request, visit: Visit, parts: Admin, fields: Fields, found: Coupon | None, **more: Any
) -> Response:
    with parts.engine.connect() as connection:
        segments = names_of_segments(connection, visit.organization_id)
    shown: dict[str, Any] = {"errors": Errors(), "status": 200} | more
    return pages.show(
        request,
        visit,
        "coupon_edit",
        coupon=found,
        given=fields,
        segments=segments,
        weekdays=WEEKDAYS,
        warnings=warnings(normalise(fields.get("code", ""))),
        **shown,
    )

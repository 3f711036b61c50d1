"""Customers: added, changed, erased. All of it leaves as events, as from a till."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from services.admin import customers, verifications
from services.admin.access import Admin, Now, Parts
from services.admin.console import forms, pages, profile_form
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.routes.customers import ONE, CustomerId, one
from services.admin.console.visit import Marketer, Posted, Visit
from services.admin.customer_edits import Edited
from shared.errors import RegularsError

CONSENT: Final = ("marketing_consent", "consent_where", "consent_wording")
ACCEPTED: Final = "Accepted. The change is safe in Kafka but not yet counted: it shows here within moments."
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/new-customer")
def ask(request: Request, visit: Marketer) -> Response:
    """The form for a new one."""
    return _new(request, visit)


@router.post("/new-customer")
def create(request: Request, visit: Marketer, form: Posted, parts: Parts, now: Now) -> Response:
    """Add a customer."""
    values = profile_form.typed_fields(form) | forms.texts(form, ("customer_id", *CONSENT))
    told = profile_form.news(values)
    if values["customer_id"]:
        told["customer_id"] = values["customer_id"]
    if values["marketing_consent"]:
        told |= _consent(values)
    try:
        edited = parts.edits.create(visit.key, told, now, None)
    except RegularsError as error:
        return _new(request, visit, 422, given=values, errors=profile_form.errors_of(error))
    if edited.customer is None:  # there is no page of them to lead to yet
        return pages.see("/customers", f"Customer {edited.customer_id}: {ACCEPTED}")
    return pages.see(_page(edited.customer_id), "Added.")


@router.get(f"{ONE}/edit")
def edit(request: Request, customer_id: CustomerId, visit: Marketer, parts: Parts) -> Response:
    """The form."""
    return _edit(request, visit, parts, customer_id)


@router.post(f"{ONE}/edit")
def save(
    request: Request, customer_id: CustomerId, *, visit: Marketer, form: Posted, parts: Parts, now: Now
) -> Response:
    """Change the profile, unless somebody else did so since the form was shown."""
    values = profile_form.typed_fields(form)
    with parts.engine.connect() as connection:
        known = customers.read(connection, visit.organization_id, customer_id)
    try:
        told = profile_form.changes(known, values)
        edited = parts.edits.change(visit.key, customer_id, told, now, form.get("version"))
    except RegularsError as error:
        errors = profile_form.errors_of(error)
        return _edit(request, visit, parts, customer_id, status=422, given=values, errors=errors)
    return _saved(edited)


@router.post(f"{ONE}/consent")
def consent(
    request: Request, customer_id: CustomerId, *, visit: Marketer, form: Posted, parts: Parts, now: Now
) -> Response:
    """Note that they agreed, or no longer do, with the evidence."""
    values = forms.texts(form, CONSENT)
    try:
        edited = parts.edits.change(visit.key, customer_id, _consent(values), now, None)
    except RegularsError as error:
        errors = profile_form.errors_of(error)
        return _edit(request, visit, parts, customer_id, status=422, consent=values, consent_errors=errors)
    return _saved(edited)


@router.post(f"{ONE}/verification")
def verify(
    request: Request, customer_id: CustomerId, *, visit: Marketer, form: Posted, parts: Parts, now: Now
) -> Response:
    """Send them a mail whose link confirms their address."""
    del form
    try:
        with parts.engine.begin() as connection:
            asked = verifications.request(connection, visit.key, customer_id, now)
    except RegularsError as error:
        return one(request, visit, parts, customer_id, status=409, bad=str(error))
    return pages.see(_page(customer_id), f"A mail to confirm the address is on its way to {asked.email}.")


@router.get(f"{ONE}/erase")
def confirm(request: Request, customer_id: CustomerId, visit: Marketer, parts: Parts) -> Response:
    """What erasing means."""
    with parts.engine.connect() as connection:
        customer = customers.read(connection, visit.organization_id, customer_id)
    return pages.show(request, visit, "customer_erase", customer=customer, error="")


@router.post(f"{ONE}/erase")
def erase(
    request: Request, customer_id: CustomerId, *, visit: Marketer, form: Posted, parts: Parts, now: Now
) -> Response:
    """Erase a customer for good, once it was confirmed."""
    with parts.engine.connect() as connection:
        customer = customers.read(connection, visit.organization_id, customer_id)
    if "confirmed" not in form:
        error = "must be ticked: nothing was erased"
        return pages.show(request, visit, "customer_erase", 422, customer=customer, error=error)
    done = parts.edits.erase(visit.key, customer_id, now)
    note = "The customer is erased." if done else "Accepted. The customer is erased within moments."
    return pages.see("/customers", note)


def _saved(edited: Edited) -> Response:
    return pages.see(_page(edited.customer_id), ACCEPTED if edited.customer is None else "Saved.")


def _page(customer_id: str) -> str:
    return f"/customers/{quote(customer_id)}"


def _consent(values: dict[str, Any]) -> dict[str, Any]:
    """As the API takes it; evidence that was not given stays out."""
    evidence = {name: values[name] for name in CONSENT[1:] if values[name]}
    said = {"yes": True, "no": False}
    known = said.get(values["marketing_consent"])
    return evidence | ({} if known is None else {"marketing_consent": known})


def _new(request: Request, visit: Visit, status: int = 200, **more: Any) -> Response:
    nothing = dict.fromkeys((*profile_form.FIELDS, "customer_id", *CONSENT), "") | {"email_verified": False}
    shown = {"customer": None, "given": nothing, "errors": Errors(), "months": profile_form.MONTHS}
    return pages.show(request, visit, "customer_new", status, **shown | more)


def _edit(
    request: Request, visit: Visit, parts: Admin, customer_id: str, *, status: int = 200, **more: Any
) -> Response:
    with parts.engine.connect() as connection:
        customer = customers.read(connection, visit.organization_id, customer_id)
    shown: dict[str, Any] = {
        "customer": customer,
        "given": profile_form.fields_of(customer),
        "errors": Errors(),
        "consent": dict.fromkeys(CONSENT, ""),
        "consent_errors": Errors(),
        "months": profile_form.MONTHS,
        "tag": customers.etag(customer),
    }
    return pages.show(request, visit, "customer_edit", status, **shown | more)

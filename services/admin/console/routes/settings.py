"""Settings: the organization, its API keys and the console's users."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from services.admin import api_keys, organizations, users
from services.admin.access import Now, Parts
from services.admin.api_keys import NewApiKey
from services.admin.console import forms, pages
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Owner, Posted, Viewer, Visit
from services.admin.organizations import Organization, OrganizationChange
from services.admin.users import NewUser
from shared.errors import RegularsError

TEXTS: Final = ("name", "time_zone", "sender_name", "sender_email", "postal_address", "quiet_from", "quiet_until")
SWITCHES: Final = ("tracks_mail", "verify_addresses")
SENDING: Final = "sending_cost_per_thousand"
COSTS: Final = ("gross_margin_percent", SENDING)
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/settings")
def settings(request: Request, visit: Viewer, parts: Parts) -> Response:
    """All of it; viewers and marketers see what they cannot change."""
    return _settings(request, visit, parts)


@router.post("/settings/organization")
def save(request: Request, visit: Owner, form: Posted, parts: Parts, now: Now) -> Response:
    """Change the organization."""
    given: dict[str, Any] = forms.texts(form, TEXTS)
    values = given | {name: given[name] or None for name in ("sender_email", "quiet_from", "quiet_until")}
    values |= {name: name in form for name in SWITCHES}
    values |= {name: form.get(name, "").strip() or None for name in COSTS}
    try:
        currency, cost = visit.organization.currency, values[SENDING] or ""
        wanted = forms.read(OrganizationChange, values | {SENDING: forms.amount(cost, currency, SENDING)})
        with parts.engine.begin() as connection:
            organizations.change(connection, visit.key, wanted, now)
    except RegularsError as error:
        return _settings(request, visit, parts, 422, given=values, errors=forms.errors_of(error))
    return pages.see("/settings", "Saved.")


@router.post("/settings/keys")
def make_key(request: Request, visit: Owner, form: Posted, parts: Parts) -> Response:
    """Make an API key, and show it at the only moment at which it is known."""
    try:
        wanted = forms.read(NewApiKey, {"role": form.get("key_role", ""), "name": form.get("key_name", "").strip()})
        with parts.engine.begin() as connection:
            made = api_keys.create(connection, visit.key, wanted)
    except RegularsError as error:
        return _settings(request, visit, parts, 422, key_errors=forms.errors_of(error))
    return _settings(request, visit, parts, secret=made.secret, secret_of=f"API key of role {made.role}")


@router.post("/settings/keys/{key_id}/revoke")
def revoke_key(visit: Owner, form: Posted, parts: Parts, now: Now, key_id: str) -> Response:
    """End one."""
    del form
    with parts.engine.begin() as connection:
        api_keys.revoke(connection, visit.key, key_id, now)
    return pages.see("/settings", f"The key {key_id} is revoked.")


@router.post("/settings/users")
def make_user(request: Request, visit: Owner, form: Posted, parts: Parts) -> Response:
    """Make a user, and show their first password."""
    try:
        wanted = forms.read(NewUser, forms.texts(form, ("email", "role", "name")))
        with parts.engine.begin() as connection:
            password = users.create(connection, visit.organization_id, wanted, visit.key.actor)
    except RegularsError as error:
        return _settings(request, visit, parts, 422, user_errors=forms.errors_of(error))
    return _settings(request, visit, parts, secret=password, secret_of=f"password of {wanted.email}")


@router.post("/settings/users/{email}/remove")
def remove_user(visit: Owner, form: Posted, parts: Parts, email: str) -> Response:
    """End one. Nobody ends themselves: one owner stays."""
    del form
    if email == visit.key.key_id:
        return pages.see("/settings", "You cannot remove yourself; another owner can.")
    with parts.engine.begin() as connection:
        users.remove(connection, visit.organization_id, email, visit.key.actor)
    return pages.see("/settings", f"{email} is removed.")


@router.post("/settings/password")
def change_password(request: Request, visit: Viewer, form: Posted, parts: Parts, now: Now) -> Response:
    """One's own; all sessions end."""
    error: RegularsError | None = None
    with parts.engine.begin() as connection:
        try:
            old, new = form.get("old_password", ""), form.get("new_password", "")
            users.change_password(connection, visit.key, old, new, now)
        except RegularsError as refused:  # a wrong one is counted all the same
            error = refused
    if error is not None:
        return _settings(request, visit, parts, 422, password_errors=forms.errors_of(error))
    return pages.see("/sign-in", "Your password is changed. Sign in with the new one.")


def _settings(request: Request, visit: Visit, parts: Parts, status: int = 200, **more: Any) -> Response:
    shown: dict[str, Any] = {
        "secret": "",
        "secret_of": "",
        "errors": Errors(),
        "key_errors": Errors(),
        "user_errors": Errors(),
    }
    shown |= {"password_errors": Errors(), "given": _as_typed(visit.organization)} | more
    with parts.engine.connect() as connection:
        keys = api_keys.keys(connection, visit.organization_id) if visit.may("owner") else []
        people = users.users(connection, visit.organization_id) if visit.may("owner") else []
    return pages.show(request, visit, "settings", status, keys=keys, users=people, **shown)


def _as_typed(own: Organization) -> dict[str, Any]:
    """What stands in the form's fields."""
    percent = own.gross_margin_percent
    return own.model_dump() | {
        "gross_margin_percent": "" if percent is None else f"{percent:g}",
        SENDING: forms.typed(own.sending_cost_per_thousand, own.currency),
    }

"""Sign in and out."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from services.admin import users
from services.admin.access import Admin, Parts
from services.admin.console import pages, sessions
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.sessions import COOKIE, IDLE
from services.admin.console.visit import Form, Viewer, form_of, insist_on_own_page
from shared.database.tables import organization
from shared.errors import ForbiddenError

WRONG: Final = "No user of this organization has this address and password."
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)
Next = Annotated[str, Query(max_length=2_000)]


@router.get("/sign-in")
def ask(request: Request, parts: Parts, next: Next = "") -> Response:  # noqa: A002 - the parameter's usual name
    """The form."""
    with parts.engine.connect() as connection:
        only = _only(connection)
    return pages.show(request, None, "sign_in", organization_id=only, email="", next=next, error="")


@router.post("/sign-in")
async def sign_in(request: Request, parts: Parts) -> Response:
    """Begin a session."""
    insist_on_own_page(request)
    form = await form_of(request)
    return await run_in_threadpool(_sign_in, request, parts, form)


@router.post("/sign-out")
def sign_out(request: Request, visit: Viewer, parts: Parts) -> Response:
    """End it."""
    del visit
    with parts.engine.begin() as connection:
        sessions.end(connection, request.cookies.get(COOKIE, ""))
    answer = pages.see("/sign-in")
    answer.delete_cookie(COOKIE, path=HOME)
    return answer


def _sign_in(request: Request, parts: Admin, form: Form) -> Response:
    given = {name: form.get(name, "").replace("\0", "").strip() for name in ("organization_id", "email", "next")}
    now, error, cookie = parts.clock(), WRONG, ""
    with parts.engine.begin() as connection:
        try:
            role = users.authenticate(
                connection, given["organization_id"], given["email"], form.get("password", ""), now
            )
        except ForbiddenError as locked:
            role, error = None, str(locked)
        if role is not None:
            cookie = sessions.begin(connection, given["organization_id"], given["email"].lower(), now)
    if not cookie:
        return pages.show(request, None, "sign_in", 403, error=error, **given)
    answer = pages.see(_inside(given["next"]))
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=int(IDLE.total_seconds()),
        path=HOME,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def _inside(address: str) -> str:
    """A page of the console: nowhere else does a sign-in lead."""
    inside = address.removeprefix(HOME)
    return inside if address.startswith(f"{HOME}/") and "\\" not in address and "//" not in inside else ""


def _only(connection: Connection) -> str:
    """The organization, where there is only one: on one machine nobody has to know its id."""
    found = connection.execute(select(organization.c.organization_id).limit(2)).scalars().all()
    return found[0] if len(found) == 1 else ""

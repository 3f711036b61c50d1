"""Pages of the console: templates, how values are written, where a form leads, and errors as people read them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from services.admin.console.visit import SignInNeededError, Visit
from shared import problems
from shared.database.away import AWAY
from shared.domain.money import format_money
from shared.errors import UNSTORABLE, InvalidError, NotFoundError, RegularsError, TransientError
from shared.logging import logger
from shared.web import request_id_of
from shared.wording import counted

HOME: Final = "/console"
NOTE: Final = "regulars_note"
NOTE_SECONDS: Final = 60
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
STATIC: Final = files("services.admin.console") / "static"
VERSION: Final = sha256(b"".join(each.read_bytes() for each in sorted(STATIC.iterdir(), key=str))).hexdigest()[:12]
"""Part of the address of each static file, so that browsers keep it until it changes."""


TITLES: Final[dict[int, str]] = {
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.CONFLICT: "Not possible now",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something in it must be changed",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now",
}
REFUSED: Final[dict[int, tuple[str, str]]] = {
    HTTPStatus.NOT_FOUND: ("Not found", "There is no such page."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Not found", "This address only takes forms. Go back to the page with the form."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("Too large", "This is more than can be sent at once. Send it in parts."),
}
log = logger(__name__)


@pass_context
def _money(context: Context, amount: int | None) -> str:
    return "" if amount is None else format_money(amount, context["visit"].organization.currency)


@pass_context
def _local(context: Context, at: datetime | None, form: str = "%-d %b %Y, %H:%M") -> str:
    """An instant on the organization's clock."""
    return "" if at is None else at.astimezone(ZoneInfo(context["visit"].organization.time_zone)).strftime(form)


def _words(name: str) -> str:
    """no_consent is "no consent"."""
    return name.replace("_", " ")


def _with(request: Request) -> Callable[..., str]:
    """The present address with other parameters; None takes one out."""

    def address(**changed: object) -> str:
        kept = dict(request.query_params) | changed
        query = urlencode({name: value for name, value in kept.items() if value not in {None, ""}})
        return f"{request.url.path}?{query}" if query else request.url.path

    return address


_templates = Environment(
    loader=PackageLoader("services.admin.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"money": _money, "local": _local, "words": _words, "number": "{:,}".format, "counted": counted}
_templates.globals |= {"version": VERSION}


def show(request: Request, visit: Visit | None, template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
    """A page of `templates/`; what was noted for the next page is shown on it once."""
    note = unquote(request.cookies.get(NOTE, ""))
    given = {"visit": visit, "path": request.url.path, "note": note, "address": _with(request)} | values
    page = HTMLResponse(_templates.get_template(f"{template}.html").render(given), status, HEADERS)
    if note:
        page.delete_cookie(NOTE, path=HOME)
    return page


def see(path: str, note: str = "") -> Response:
    """Where a form leads when all went well."""
    answer = RedirectResponse(f"{HOME}{path}", HTTPStatus.SEE_OTHER)
    if note:
        answer.set_cookie(NOTE, quote(note), max_age=NOTE_SECONDS, path=HOME, httponly=True, samesite="lax")
    return answer


class PageRoute(APIRoute):
    """Routes that answer errors by pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI wants it."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except SignInNeededError:
                return _to_sign_in(request)
            except HTTPException as error:
                return refused(request, error)
            except Exception as error:
                known = _known(error)
                if known is None:
                    log.exception("request.failed", route=self.path, method=request.method)
                    return _unexpected(request)
                return failure(request, known)

        return handle


def _known(error: Exception) -> RegularsError | None:
    """What an error tells whoever looks at the page; None for what nobody expected."""
    if isinstance(error, RequestValidationError):
        return NotFoundError("There is no such page.")
    if isinstance(error, AWAY):
        return TransientError("The database is away. Try again in a moment.", 2)
    if isinstance(error, DataError | UnicodeEncodeError):
        return InvalidError(f"What was sent {UNSTORABLE}.")
    return error if isinstance(error, RegularsError) else None


def failure(request: Request, error: RegularsError) -> Response:
    """What went wrong and what to do; for a part of a page that part only."""
    status = problems.of(error).status
    return _failed(request, status, TITLES.get(status, "That did not work"), str(error))


def refused(request: Request, error: HTTPException) -> Response:
    """What the framework refuses, in the words of somebody who looks at a page."""
    title, message = REFUSED.get(error.status_code, ("That did not work", str(error.detail)))
    return _failed(request, error.status_code, title, message)


def _unexpected(request: Request) -> Response:
    """Tells nothing of the inside: the log has it under the request's id."""
    message = (
        "This is a defect of Regulars, not of what you did. Try again; if it stays so, give whoever runs Regulars "
        f"this id, under which its log tells more: {request_id_of(request.scope)}"
    )
    return _failed(request, HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong", message)


def _failed(request: Request, status: int, title: str, message: str) -> Response:
    visit = getattr(request.state, "visit", None)  # with the menu, for who was found to be signed in
    template = "failure_part" if "HX-Request" in request.headers else "failure"
    return show(request, visit, template, status, title=title, message=message)


def _to_sign_in(request: Request) -> Response:
    address = f"{HOME}/sign-in"
    if request.method == "GET" and request.url.path != HOME:
        address += "?" + urlencode({"next": _with(request)()})
    if "HX-Request" in request.headers:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": f"{HOME}/sign-in"})
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)

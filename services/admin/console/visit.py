"""Who looks at a page: signed in, of a role that reaches far enough and, for a change, by a form of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException

from services.admin import organizations
from services.admin.access import DOES, REACH, Admin, Parts
from services.admin.console import sessions
from services.admin.console.sessions import COOKIE, Session
from services.admin.organizations import Organization
from shared.errors import ForbiddenError, InvalidError, RegularsError
from shared.keys import Key, Role

SAFE: Final = frozenset({"GET", "HEAD"})
MOST_FIELDS: Final = 10_000

Form = ImmutableMultiDict[str, str]
"""What a form sent: `get` gives a field's last value, `getlist` all."""


class SignInNeededError(RegularsError):
    """Nobody is signed in."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in."""

    session: Session
    organization: Organization

    @property
    def key(self) -> Key:
        """What the services go by."""
        return self.session.key

    @property
    def organization_id(self) -> str:
        return self.session.key.organization_id

    def may(self, role: Role) -> bool:
        """Whether their role reaches that far."""
        return REACH[self.session.key.role] >= REACH[role]


async def visitor(request: Request, parts: Parts) -> Visit:
    """Raises SignInNeededError, and ForbiddenError for a change that no form of ours asked for."""
    visit = await run_in_threadpool(_find, parts, request.cookies.get(COOKIE, ""))
    if visit is None:
        raise SignInNeededError("Sign in first.")
    request.state.visit = visit
    if request.method not in SAFE:
        insist_on_own_page(request)
        form = await form_of(request)
        given = request.headers.get("X-Form-Token") or form.get("form_token", "")
        if not sessions.is_form_of(visit.session, given):
            raise ForbiddenError("This form is of another session. Load the page again and repeat it.")
        request.state.form = form
    return visit


def insist_on_own_page(request: Request) -> None:
    """Refuse what another site made the browser send. Browsers tell by these two headers."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    if site not in {"same-origin", "none"} or (
        origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
    ):
        raise ForbiddenError("This form came from another site.")


class Upload(NamedTuple):
    """A file that was sent with a form; its name is the browser's word."""

    name: str
    content: bytes


def chosen(files: Mapping[str, Upload]) -> Upload:
    """The one that the form asks for. Raises InvalidError."""
    file = files.get("file")
    if file is None or not file.content:
        raise InvalidError("is missing or empty: choose it", "file")
    return file


async def form_of(request: Request) -> Form:
    """The fields of a form; its files are kept for `Files`. Raises InvalidError."""
    if request.headers.get("Content-Type", "").startswith("multipart/form-data"):
        return await _with_files(request)
    try:
        text = (await request.body()).decode()
        return ImmutableMultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise InvalidError("The form cannot be read. Load the page again and repeat it.") from None


async def _with_files(request: Request) -> Form:
    texts: list[tuple[str, str]] = []
    files: dict[str, Upload] = {}
    try:
        async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
            for name, value in form.multi_items():
                if isinstance(value, str):
                    texts.append((name, value))
                else:
                    files[name] = Upload(value.filename or "", await value.read())
    except HTTPException as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise
        raise InvalidError(f"The form cannot be read: {error.detail}") from None
    request.state.files = files
    return ImmutableMultiDict(texts)


def _find(parts: Admin, cookie: str) -> Visit | None:
    with parts.engine.begin() as connection:
        session = sessions.find(connection, cookie, parts.clock())
        if session is None:
            return None
        return Visit(session, organizations.read(connection, session.key.organization_id))


class AtLeast:
    """A dependency that lets users of a role and of all above it pass."""

    def __init__(self, role: Role) -> None:
        self.role: Role = role

    def __call__(self, visit: Annotated[Visit, Depends(visitor)]) -> Visit:
        """The visit itself. Raises ForbiddenError."""
        if not visit.may(self.role):
            raise ForbiddenError(
                f"Only a user of role {self.role} or above may {DOES[self.role]}; you are a {visit.key.role}."
            )
        return visit


def _form(request: Request, _: Annotated[Visit, Depends(visitor)]) -> Form:
    return cast("Form", request.state.form)


def _files(request: Request, _: Annotated[Visit, Depends(visitor)]) -> Mapping[str, Upload]:
    return cast("Mapping[str, Upload]", getattr(request.state, "files", {}))


Viewer = Annotated[Visit, Depends(AtLeast("viewer"))]
Marketer = Annotated[Visit, Depends(AtLeast("marketer"))]
Owner = Annotated[Visit, Depends(AtLeast("owner"))]
Posted = Annotated[Form, Depends(_form)]
"""The form of a request that changes something."""
Files = Annotated[Mapping[str, Upload], Depends(_files)]
"""The files sent with it, by the field's name."""

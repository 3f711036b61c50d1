"""Problem details (RFC 9457): every error of an HTTP service in one form, which tells the caller what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypedDict

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from shared.database.away import AWAY
from shared.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, RegularsError, TransientError
from shared.logging import logger
from shared.refusals import said

MEDIA_TYPE = "application/problem+json"
_STATUS: dict[type[RegularsError], int] = {
    InvalidError: 422,
    NotFoundError: 404,
    ConflictError: 409,
    ForbiddenError: 403,
    TransientError: 503,
}
_NO_OBJECT = {"missing", "model_type", "model_attributes_type", "dict_type"}
_PLACES = ("body", "query", "path", "header", "cookie")
_TRIGGERS = frozenset({"segment_entered", "birthday", "anniversary"})
log = logger(__name__)


class FieldError(TypedDict):
    """One thing that is wrong, and where: `lines[2].total`."""

    field: str
    message: str


class Problem(RegularsError):  # noqa: N818 - the RFC's word
    """An answer other than success. `members` are extension members of the problem (RFC 9457, 3.2)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.members = members

    def response(self) -> JSONResponse:
        """The answer itself."""
        body: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = list(self.errors)
        return JSONResponse(body | dict(self.members or {}), self.status, self.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of `app` in this form, and say so in its OpenAPI document.

    Errors that nobody expected are answered by `shared.web`, which knows the request's id.
    """
    app.add_exception_handler(RegularsError, _known)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, by_framework)
    for kind in AWAY:
        app.add_exception_handler(kind, _without_database)


def of(error: RegularsError) -> Problem:
    """The problem that tells of an error of ours."""
    if isinstance(error, Problem):
        return error
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    errors: list[FieldError] = []
    headers = {}
    if isinstance(error, InvalidError):
        errors.append({"field": error.field, "message": error.message})
    if isinstance(error, TransientError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return Problem(status, HTTPStatus(status).phrase, str(error), errors=errors, headers=headers)


def unexpected(request_id: str) -> Problem:
    """The problem that tells nothing of the inside; the log has the rest under the request's id."""
    detail = "This is a defect of Regulars, not of your request. Its log tells more under this request_id."
    return Problem(500, "Internal Server Error", detail, members={"request_id": request_id})


def unauthorized(detail: str) -> Problem:
    """The problem of a request without a good key (RFC 6750)."""
    return Problem(401, "Unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="regulars"'})


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route in OpenAPI: these statuses are answered by a problem."""
    schema = {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong and what to do."},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    }
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


async def _known(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RegularsError)  # noqa: S101 - registered for this kind only
    return of(error).response()


async def _without_database(_: Request, error: Exception) -> JSONResponse:
    log.warning("database.away", error=str(error).partition("\n")[0])
    return of(TransientError("The database is away. Try again.", 2.0)).response()


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors: list[FieldError] = [_said(each) for each in error.errors()]
    first = errors[0]
    detail = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return Problem(422, HTTPStatus(422).phrase, detail, errors=errors).response()


async def by_framework(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: an unknown path, a method, a body that is too large."""
    assert isinstance(error, HTTPException)  # noqa: S101
    phrase = HTTPStatus(error.status_code).phrase
    detail = "" if error.detail == phrase else str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and not detail:
        detail = f"Nothing is at {request.url.path}. /docs tells what is where."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and not detail:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{request.method} is not possible at {request.url.path}. Use {allowed}."
    return Problem(error.status_code, phrase, detail, headers=error.headers).response()


def _said(error: Mapping[str, Any]) -> FieldError:
    if error["type"] == "json_invalid":  # its place is a position in the text
        return {"field": "", "message": f"must be JSON: {error['ctx']['error']}"}
    if tuple(error["loc"]) == ("body",) and error["type"] in _NO_OBJECT:
        return {"field": "", "message": "The body must be a JSON object, with Content-Type: application/json"}
    return {"field": path_of(error["loc"]), "message": said(error)}


def path_of(location: Sequence[int | str]) -> str:
    """`lines[2].total` of ("body", "lines", 2, "total"): as a person writes it, without where FastAPI looked."""
    steps = location[1:] if location and location[0] in _PLACES else location
    # pydantic names which kind of trigger it took it for; no such step is in the body
    steps = [
        step for last, step in zip(("", *steps), steps, strict=False) if last != "trigger" or step not in _TRIGGERS
    ]
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")

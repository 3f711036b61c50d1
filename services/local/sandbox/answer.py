"""What goes out: JSON values, and refusals in Resend's words."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import RegularsError


class JsonAnswer(Response):
    """A value, or bytes that are JSON already. `nosniff`: hostile mail content must never pass for a page."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(content, status_code, {"x-content-type-options": "nosniff", **(headers or {})})

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else msgspec.json.encode(content)


class RefusedError(RegularsError):
    """An error answer `{"statusCode", "name", "message"}` (https://resend.com/docs/api-reference/errors)."""

    def __init__(self, status: int, name: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.headers = headers

    def answer(self) -> JsonAnswer:
        body = {"statusCode": self.status, "name": self.name, "message": self.message}
        return JsonAnswer(body, self.status, self.headers)


def invalid(message: str) -> RefusedError:
    """What was sent can never work: 422, as Resend has it."""
    return RefusedError(422, "validation_error", message)


async def on_refusal(_: Request, error: Exception) -> Response:
    if isinstance(error, RefusedError):
        return error.answer()
    raise error


async def on_http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods are refused in the same shape."""
    if not isinstance(error, HTTPException):
        raise error
    name = "method_not_allowed" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "not_found"
    message = f"The sandbox has no {request.method} {request.url.path}."
    return RefusedError(error.status_code, name, message, dict(error.headers or {})).answer()

"""The sandbox asks nobody for a password, so no other site's page may use a visitor's browser to change it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.local.sandbox.answer import RefusedError

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOriginOnly:
    """Refuses requests that change something and that a browser marks as another origin's (RFC 6454, 7.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != headers.get("host"):
                refusal = RefusedError(403, "validation_error", f"Pages of {origin} may not change the sandbox.")
                await refusal.answer()(scope, receive, send)
                return
        await self._app(scope, receive, send)

"""A uvicorn connection that the application can cut, which ASGI itself has no word for."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_EXTENSION = "regulars.cut"


class CuttableConnection(HttpToolsProtocol):
    """Hands the application a way to abort the transport: what is buffered is dropped, the client sees a reset."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"abort": self.transport.abort}}

    def shutdown(self) -> None:
        """The server ends: a request that is held on purpose must not be waited for."""
        super().shutdown()
        if self.scope is not None and "held" in self.scope["extensions"][_EXTENSION]:
            self.transport.abort()


def cut(scope: Scope) -> None:
    """Aborts the connection that this request came on."""
    abort = cast("Callable[[], None]", scope["extensions"][_EXTENSION]["abort"])
    abort()


def hold(scope: Scope) -> None:
    """Says that this request gets no answer."""
    scope["extensions"][_EXTENSION]["held"] = True

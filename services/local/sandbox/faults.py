"""Failures on order: the next requests go wrong in the way that was asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.local.sandbox import body
from services.local.sandbox.answer import JsonAnswer
from services.local.sandbox.connection import cut, hold

FaultKind = Literal["429", "500", "timeout", "drop_after_accept"]
PATIENCE = 120.0  # seconds; longer than any client should wait


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """The next `next` requests to send fail as `kind` says."""

    kind: FaultKind
    next: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1


class Faults:
    """First ordered, first used up. Held in memory: a restart is a clean slate."""

    def __init__(self) -> None:
        self._pending: deque[Fault] = deque()

    def take(self) -> FaultKind | None:
        """The fault for this request, used up by it."""
        if not self._pending:
            return None
        fault = self._pending[0]
        fault.next -= 1
        if fault.next == 0:
            self._pending.popleft()
        return fault.kind

    @property
    def pending(self) -> list[Fault]:
        return list(self._pending)

    async def order(self, request: Request) -> Response:
        self._pending.append(body.decode(await body.read(request), Fault))
        return await self.show(request)

    async def show(self, _: Request) -> Response:
        return JsonAnswer({"pending": self.pending})

    async def clear(self, _: Request) -> Response:
        self._pending.clear()
        return Response(status_code=204)


class Cut(Response):
    """No answer: the connection ends as if the machine had died."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        cut(scope)
        while (await receive())["type"] != "http.disconnect":
            pass


class Silence(Cut):
    """No answer for longer than the client waits; then the connection ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hold(scope)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while (await receive())["type"] != "http.disconnect":
                    pass
            return
        await super().__call__(scope, receive, send)

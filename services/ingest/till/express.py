"""The express way of the till's four operations, past the framework, whose share of a request is several times theirs.

It takes what is plain and right: a key that is known already, within its rate, a basket that msgspec reads. Everything
else goes on to the routes as it came; they are the authority, and their answers say what is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest.parts import PUBLISHERS, Parts
from services.ingest.till import operations
from services.ingest.till.asked import Wanted, code_of
from services.ingest.till.operations import Reply
from shared import problems
from shared.domain import coupons
from shared.domain.decode import is_plain
from shared.domain.event_fields import MAX_MONEY, CustomerId, Identifier
from shared.errors import RegularsError
from shared.keys import Key

LONGEST_BODY: Final = 100_000
LONGEST_CODE: Final = 256
LONGEST_HOLD: Final = 512
TOKEN: Final = b"Bearer "
JSON: Final = (b"content-type", b"application/json")


class _Line(msgspec.Struct):
    total: Annotated[int, Meta(ge=0, le=MAX_MONEY)]
    product_id: Identifier | None = None
    category: Identifier | None = None


class _Basket(msgspec.Struct):
    """`routes.basket.BasketBody`, for msgspec."""

    sale_id: Identifier
    total: Annotated[int, Meta(ge=1, le=MAX_MONEY)]
    customer_id: CustomerId | None = None
    store_id: Identifier | None = None
    terminal_id: Identifier | None = None
    lines: Annotated[list[_Line], Meta(max_length=1_000)] = []


_BASKET: Final = msgspec.json.Decoder(_Basket)


class Asked(NamedTuple):
    """What a request asks by its method and path; `path` is its route's, for the metrics."""

    path: str
    argument: str
    with_basket: Callable[[Parts, Wanted], Awaitable[Reply]] | None = None
    of_hold: Callable[[Parts, Key, str], Awaitable[Reply]] = operations.commit


class Express:
    """Plain ASGI, in front of the routes."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        asked = asked_by(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))  # of several of a name the first counts, as for the routes
        key = self._key(headers)
        answering: Awaitable[Reply] | None = None
        if key is not None and asked.with_basket is not None and _is_short_json(headers):
            message = await receive()
            receive = _again(message, receive)
            wanted = read(message, key.organization_id, asked.argument)
            if wanted is not None and self._is_within_limit(key):
                answering = asked.with_basket(self._parts, wanted)
        elif key is not None and asked.with_basket is None and self._is_within_limit(key):
            answering = asked.of_hold(self._parts, key, asked.argument)
        if answering is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = asked
        try:
            status, body = await answering
        except RegularsError as error:
            await problems.of(error).response()(scope, receive, send)
            return
        head = [JSON, (b"content-length", b"%d" % len(body))] if body else []
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    def _key(self, headers: Mapping[bytes, bytes]) -> Key | None:
        given = headers.get(b"authorization", b"")
        key = self._parts.keyring.known(given[len(TOKEN) :].decode("latin-1")) if given.startswith(TOKEN) else None
        return key if key is not None and key.role in PUBLISHERS else None

    def _is_within_limit(self, key: Key) -> bool:
        return not self._parts.rate_limit.take(key.organization_id, key.key_id, 1, time.monotonic())


def asked_by(method: str, path: str) -> Asked | None:
    """What a request asks of a till's operations; None for everything else."""
    match method, path.split("/"):
        case "POST", ["", "v1", "coupons", code, "quote"] if code and len(code) <= LONGEST_CODE:
            return Asked("/v1/coupons/{code}/quote", code, operations.quote)
        case "POST", ["", "v1", "coupons", code, "holds"] if code and len(code) <= LONGEST_CODE:
            return Asked("/v1/coupons/{code}/holds", code, operations.hold)
        case "POST", ["", "v1", "holds", hold_id, "commit"] if hold_id and len(hold_id) <= LONGEST_HOLD:
            return Asked("/v1/holds/{hold_id}/commit", hold_id)
        case "DELETE", ["", "v1", "holds", hold_id] if hold_id and len(hold_id) <= LONGEST_HOLD:
            return Asked("/v1/holds/{hold_id}", hold_id, of_hold=operations.release)
        case _:
            return None


def read(message: Message, organization_id: str, code: str) -> Wanted | None:
    """The question of a code and a body; None for what the routes must judge."""
    body = message.get("body", b"")
    if message["type"] != "http.request" or message.get("more_body") or not is_plain(body):
        return None
    try:
        given = _BASKET.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if given.lines and given.total > sum(line.total for line in given.lines):
        return None
    lines = tuple(coupons.Line(line.total, line.product_id, line.category) for line in given.lines)
    basket = coupons.Basket(given.sale_id, given.total, lines, given.customer_id, given.store_id)
    return Wanted(organization_id, code_of(code), basket, given.terminal_id)


def _is_short_json(headers: Mapping[bytes, bytes]) -> bool:
    length = headers.get(b"content-length", b"")
    kind = headers.get(b"content-type", b"").partition(b";")[0]
    return kind == JSON[1] and length.isdigit() and int(length) <= LONGEST_BODY


def _again(message: Message, receive: Receive) -> Receive:
    """`receive`, with what was taken of it given once more."""
    taken = [message]

    async def receive_again() -> Message:
        return taken.pop() if taken else await receive()

    return receive_again

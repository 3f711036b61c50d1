"""`/messages`: the kept mail for checks and scripts, and webhooks about it."""

from __future__ import annotations

import base64
import os

from starlette.requests import Request
from starlette.responses import Response

from services.local.sandbox import body
from services.local.sandbox.answer import JsonAnswer, invalid
from services.local.sandbox.message import Event, iso
from services.local.sandbox.store import Filter, Store
from services.local.sandbox.webhook import Order, Webhook
from shared.clock import Clock

MOST_ON_A_PAGE = 1_000
_USUAL = 50


class Messages:
    """The API beside Resend's own."""

    def __init__(self, store: Store, webhook: Webhook, clock: Clock) -> None:
        self._store = store
        self._webhook = webhook
        self._clock = clock

    async def list(self, request: Request) -> Response:
        """Newest first; `to` is an exact address, `search` a part of one. `order=oldest` follows what comes in."""
        query = request.query_params
        if query.get("order", "newest") != "newest":
            return await self._follow(request)
        of = Filter(to=query.get("to", ""), part=query.get("search", ""))
        limit = min(number(query.get("limit"), "limit") or _USUAL, MOST_ON_A_PAGE)
        page = await self._store.page(of, limit, number(query.get("cursor"), "cursor"))
        next_cursor = None if page.before is None else str(page.before)
        items = [message.shown() for message in page.messages]
        return JsonAnswer({"count": page.count, "items": items, "next_cursor": next_cursor})

    async def _follow(self, request: Request) -> Response:
        """What came after the cursor. There is always a next one: to ask with again when more has come."""
        query = request.query_params
        if query["order"] != "oldest" or query.get("to") or query.get("search"):
            raise invalid("Invalid `order` parameter. Give `oldest`, without `to` and `search`, or leave it out.")
        cursor = number(query.get("cursor"), "cursor") or 0
        found = await self._store.after(cursor, min(number(query.get("limit"), "limit") or _USUAL, MOST_ON_A_PAGE))
        next_cursor = str(found[-1].seq) if found else query.get("cursor") or None
        return JsonAnswer({"items": [message.shown() for message in found], "next_cursor": next_cursor})

    async def one(self, request: Request) -> Response:
        message = await self._store.message(request.path_params["id"])
        return JsonAnswer({**message.shown(), "events": await self._store.events(message.seq)})

    async def empty(self, _: Request) -> Response:
        return JsonAnswer({"deleted": await self._store.empty()})

    async def send_event(self, request: Request) -> Response:
        """Sends the webhook and returns what the receiver answered to it."""
        message = await self._store.message(request.path_params["id"])
        order: Order = body.decode(await body.read(request), Order)
        now = self._clock()
        webhook_id = order.webhook_id or "msg_" + base64.b32encode(os.urandom(15)).decode().lower()
        answered = await self._webhook.send(message, order, webhook_id, now)
        await self._store.note(message.seq, Event(order.type, iso(now), webhook_id, answered.status), now)
        return JsonAnswer(answered)


def number(given: str | None, field: str) -> int | None:
    """A positive number from the query, None where it is absent."""
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:19]) < 2**63 or len(given) > 19:  # noqa: PLR2004
        raise invalid(f"Invalid `{field}` parameter. Give a whole number from 1 on, or leave it out.")
    return int(given)

"""What became of every accepted mail, without being asked: in the background, in order, until it is received."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from services.local.sandbox.answer import RefusedError
from services.local.sandbox.message import Event, Message, iso
from services.local.sandbox.store import Store
from services.local.sandbox.webhook import Order, Webhook
from shared.clock import Clock

_LOG = logging.getLogger(__name__)
_TOGETHER = 100
_SIDE_BY_SIDE = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_LOOK_AGAIN = 5.0  # seconds
_TOO_MANY = 429
_SERVER_ERROR = 500
_DELIVERED = Order(type="email.delivered")

Fate = Callable[[Message], Order]


def delivered(_: Message) -> Order:
    """Nothing is lost."""
    return _DELIVERED


class Reports:
    """How far it has come is kept with the mail, so a restart neither forgets nor repeats more than one group."""

    def __init__(self, store: Store, webhook: Webhook, arrived: asyncio.Event, clock: Clock, fate: Fate) -> None:
        self._store = store
        self._webhook = webhook
        self._arrived = arrived
        self._clock = clock
        self._fate = fate
        self._gate = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def run(self) -> None:
        """Until it is cancelled."""
        await self._store.begin_reporting()
        while True:
            self._arrived.clear()
            try:
                if await self._report_next():
                    continue
            except RefusedError as refusal:
                _LOG.warning("deliveries not reported: %s", refusal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), _LOOK_AGAIN)

    async def _report_next(self) -> bool:
        messages = await self._store.unreported(_TOGETHER)
        if not messages:
            return False
        events = await asyncio.gather(*(self._until_received(message) for message in messages))
        noted = [(message.seq, event) for message, event in zip(messages, events, strict=True)]
        await self._store.reported(noted, messages[-1].seq, self._clock())
        return True

    async def _until_received(self, message: Message) -> Event:
        """Tries again while the receiver is away or overloaded; what it refuses for good is noted and left."""
        order = self._fate(message)
        # The same at each try, so that the receiver counts it once.
        webhook_id = f"msg_{order.type.removeprefix('email.')}_{message.id}"
        pause = _FIRST_PAUSE
        while True:
            now = self._clock()
            async with self._gate:
                try:
                    answered = (await self._webhook.send(message, order, webhook_id, now)).status
                except RefusedError as refusal:
                    answered = refusal.status
            if answered != _TOO_MANY and answered < _SERVER_ERROR:
                return Event(order.type, iso(now), webhook_id, answered)
            _LOG.warning("delivery not reported yet: message=%s answered=%s next_try=%ss", message.id, answered, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

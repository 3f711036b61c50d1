"""The mailer put together: a Faust application that hosts the agent on segment events, the clock's tick and the threads
that plan, send and publish.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import faust
from faust.tables import TableManager
from faust.types import TP
from mode import Service
from sqlalchemy import Engine, select

from services.mailer.content import Writer
from services.mailer.entries import Follower
from services.mailer.health import Health
from services.mailer.listener import Listener
from services.mailer.planner import Planner
from services.mailer.provider import Provider
from services.mailer.provider_choice import rate_of
from services.mailer.relay import Relay
from services.mailer.rounds import LONGEST_SLEEP, Rounds
from services.mailer.sender import Sender
from shared import metrics
from shared.clock import Clock, utc_now
from shared.database.channels import CAMPAIGNS, MESSAGES
from shared.database.engine import hot_engine
from shared.database.tables import organization
from shared.domain.delivery import backoff
from shared.logging import logger
from shared.settings import MailerSettings
from shared.topics import Topic
from shared.worker import broker_arguments

log = logger(__name__)

GRACE: Final = 25.0
MOST_EVENTS: Final = 500
WITHIN: Final = 0.05


class Works:
    """The threads of the mailer, without Kafka's consumer: planning, sending, publishing, and what wakes them."""

    def __init__(self, settings: MailerSettings, provider: Provider, health: Health, clock: Clock = utc_now) -> None:
        self._clock = clock
        self.database: Engine = hot_engine(settings.database, pool_size=6 + settings.senders, pool_timeout=10)
        self._relay = Relay(self.database, settings, clock)
        self._planner = Planner(self.database, clock)
        self.planning = Rounds("planner", self._plan, self._organizations, clock=clock, health=health)
        self.publishing = Rounds("relay", self._relay.step, self._organizations, clock=clock, health=health)
        rings = {CAMPAIGNS: self._ring, MESSAGES: self._ring_senders}
        self._listener = Listener(settings.database, rings, health, settings.instance)
        self._senders = [
            Sender(
                self.database,
                provider,
                Writer(settings.secret.get_secret_value(), settings.public_url),
                rate_of(settings),
                owner=f"{settings.instance}/{number}",
                from_email=settings.from_email,
                clock=clock,
                sent=self.publishing.ring,
                owns_name=lambda: self._listener.owns_name,
            )
            for number in range(settings.senders)
        ]
        self.sending = [
            Rounds(f"sender-{number}", partial(self._send, sender), self._organizations, clock=clock, health=health)
            for number, sender in enumerate(self._senders)
        ]

    def start(self) -> None:
        """Begin all of it."""
        for rounds in self._rounds:
            rounds.start()
        self._listener.start()

    def stop(self) -> None:
        """Finish what is in hand, then end."""
        for sender in self._senders:
            sender.stopping.set()
        self._listener.stop(GRACE)
        for rounds in self._rounds:
            rounds.stop(GRACE)
        for sender in self._senders:
            sender.finish()
        self._relay.close()
        self.database.dispose()

    def _plan(self, organization_id: str) -> datetime:
        is_new = organization_id not in self._planner.looked_at
        try:
            return self._planner.step(organization_id)
        finally:
            if is_new:
                self._ring_senders(organization_id)

    def _send(self, sender: Sender, organization_id: str) -> datetime:
        # After a night without a mailer: a birthday is planned before a promotion can take its day.
        if organization_id not in self._planner.looked_at:
            return self._clock() + LONGEST_SLEEP
        return sender.step(organization_id)

    def _ring(self, organization_id: str | None) -> None:
        self.planning.ring(organization_id)
        self._ring_senders(organization_id)

    def _ring_senders(self, organization_id: str | None) -> None:
        for rounds in self.sending:
            rounds.ring(organization_id)

    @property
    def _rounds(self) -> tuple[Rounds, ...]:
        return (self.planning, *self.sending, self.publishing)

    def _organizations(self) -> list[str]:
        with self.database.connect() as connection:
            return list(connection.execute(select(organization.c.organization_id)).scalars())


class NoTables(TableManager):
    """Faust's recovery of tables, which it starts before anything of ours: at once, for there are none to wait for."""

    async def on_start(self) -> None:
        """Without the second that Faust gives to tables that are declared late."""
        await self._update_channels()
        await self.recovery.start()


def create_app(settings: MailerSettings, provider: Provider, health: Health, clock: Clock = utc_now) -> faust.App:
    """The application; nothing connects before it is started."""
    works = Works(settings, provider, health, clock)
    follower = Follower(works.database, clock)
    health.bad("kafka", "has not given this mailer its partitions yet")
    app = faust.App(
        f"{settings.topic_prefix}mailer",
        **broker_arguments(settings),
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.5,
        consumer_group_instance_id=f"{settings.topic_prefix}{settings.instance}",
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        TableManager=NoTables,
        datadir=Path(tempfile.gettempdir()) / "regulars-faust",  # it keeps nothing there and makes it all the same
    )
    segments = app.topic(
        Topic.SEGMENTS.on(settings), key_serializer="raw", value_serializer="raw", value_type=bytes, internal=False
    )

    @app.service
    class Threads(Service):
        async def on_start(self) -> None:
            works.start()

        async def on_stop(self) -> None:
            await asyncio.to_thread(works.stop)

    @app.on_partitions_assigned.connect
    async def joined(*_: Any, **__: Any) -> None:
        health.good("kafka")

    @app.crontab("* * * * *")
    async def every_minute() -> None:
        """Midnight comes in some time zone; nothing tells of it."""
        works.planning.ring(None)

    # Acknowledged by hand, and only after the messages are planned: Faust would do so even when it is interrupted.
    @app.agent(segments)
    async def follow(stream: Any) -> None:
        async for events in stream.noack_take(MOST_EVENTS, within=WITHIN):
            await _patiently(follower, [event.value for event in events], health)
            for event in events:
                event.ack()
            _tell_lag(app, {event.message.tp: event.message.offset for event in events})

    return app


def _tell_lag(app: faust.App, last: Mapping[TP, int]) -> None:
    """How many records wait behind the last ones taken, by partition."""
    for partition, offset in last.items():
        end = app.consumer.highwater(partition)
        if end is not None:
            metrics.consumer_lag.labels(Topic.SEGMENTS.value, partition.partition).set(max(0, end - offset - 1))


async def _patiently(follower: Follower, values: list[bytes | None], health: Health) -> None:
    """Again and again, while the database is away or a deploy is bad: Faust takes an exception that leaves an agent for
    an acknowledgement, and the events would be lost.
    """
    failures = 0
    while True:
        try:
            await asyncio.to_thread(follower.take, values)
        except Exception as error:  # noqa: BLE001 - see above
            failures += 1
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            health.bad("entries", why)
            log.warning("entries.wait", why=why, events=len(values))
            await asyncio.sleep(backoff(failures, random.random()))  # noqa: S311 - spreads retries
        else:
            health.good("entries")
            return

"""Hears PostgreSQL's notifications, so that a change of a campaign or a new message acts at once; and holds the
mailer's name while it does, so that no other mailer takes itself for a former life of this one.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import Final

import psycopg
from psycopg import sql

from services.mailer.health import Health
from shared.database.engine import connect
from shared.domain.delivery import backoff
from shared.logging import logger

log = logger(__name__)

# How long a stop may go unheard.
PATIENCE: Final = 0.5

# Freed with the connection, so at once when the process is killed.
OWN: Final = "SELECT pg_try_advisory_lock(hashtextextended('regulars mailer ' || %s, 0))"

Ring = Callable[[str | None], None]


class Listener:
    """Calls `rings[channel]` with the organization of each notification, and with None after each connection: whatever
    was said in between was not heard. `owns_name` is whether no other mailer is called so.
    """

    def __init__(self, database_url: str, rings: Mapping[str, Ring], health: Health, name: str) -> None:
        self.owns_name = False
        self._name = name
        self._database_url = database_url
        self._rings = rings
        self._health = health
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """End."""
        self._stopping.set()
        self._thread.join(patience)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                with connect(self._database_url, autocommit=True) as connection:
                    self._listen(connection)
                    failures = 0
            except psycopg.Error as error:
                self.owns_name = False
                failures += 1
                why = str(error).splitlines()[0] if str(error) else type(error).__name__
                self._health.bad("database", why)
                log.warning("database.unreachable", why=why)
                self._stopping.wait(backoff(failures, random.random()))  # noqa: S311 - spreads retries

    def _listen(self, connection: psycopg.Connection[object]) -> None:
        for channel in self._rings:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        self._health.good("database")
        self._own(connection)
        for ring in self._rings.values():
            ring(None)
        while not self._stopping.is_set():
            for heard in connection.notifies(timeout=PATIENCE):
                self._rings[heard.channel](heard.payload or None)
            if not self.owns_name:
                self._own(connection)

    def _own(self, connection: psycopg.Connection[object]) -> None:
        self.owns_name = connection.execute(OWN, [self._name]).fetchone() == (True,)
        if self.owns_name:
            self._health.good("name")
        else:
            self._health.bad("name", f"another mailer is called {self._name}: give each its own REGULARS_INSTANCE")

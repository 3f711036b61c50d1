"""A thread that works through organizations one step at a time: whoever is due first comes first, nobody is starved."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from services.mailer.health import Health
from shared.clock import Clock
from shared.database.away import AWAY
from shared.domain.delivery import backoff
from shared.errors import TransientError
from shared.logging import logger

log = logger(__name__)

# What passes by itself: the database away or restarting, two transactions in each other's way.
TRANSIENT: Final = (*AWAY, TransientError)
# A notification may be lost with its connection: look at least so often.
LONGEST_SLEEP: Final = timedelta(seconds=60)
AFTER_A_FAULT: Final = timedelta(seconds=30)

Step = Callable[[str], datetime]
"""Does a piece of work for an organization; says when there is more."""


class Rounds:
    """`step` is called for an organization when it is due, when it is rung for, and at least once a minute."""

    def __init__(
        self, name: str, step: Step, organizations: Callable[[], Iterable[str]], *, clock: Clock, health: Health
    ) -> None:
        self._name = name
        self._step = step
        self._organizations = organizations
        self._clock = clock
        self._health = health
        self._due: dict[str, datetime] = {}
        self._bell = threading.Condition()
        self._survey_at = clock()
        self._failures = 0
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Finish the present step and end."""
        self.stopping.set()
        self.ring()
        self._thread.join(patience)

    def ring(self, organization_id: str | None = None) -> None:
        """Something is there to do for an organization, or for anybody. Safe from any thread."""
        with self._bell:
            if organization_id is None:
                self._survey_at = self._clock()
            else:
                self._due[organization_id] = self._clock()
            self._bell.notify_all()

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                organization_id = self._next()
                if organization_id is not None:
                    self._work(organization_id)
                self._failures = 0
                self._health.good(self._name)
            except TRANSIENT as error:
                self._wait_out(error)

    def _next(self) -> str | None:
        """The organization whose turn it is; None after a sleep or a survey."""
        now = self._clock()
        # Further ahead it can only lie when the clock was set back: what is due then is due by another clock.
        if now >= self._survey_at or self._survey_at - now > LONGEST_SLEEP:
            with self._bell:
                self._survey_at = now + LONGEST_SLEEP
            present = list(self._organizations())
            with self._bell:
                self._due = {each: min(self._due.get(each, now), now) for each in present}
        with self._bell:
            first = min(self._due, key=self._due.__getitem__, default=None)
            if first is not None and self._due[first] <= now:
                # Anew from here on: what rings during the step counts as a reason for another one.
                self._due[first] = now + LONGEST_SLEEP
                return first
            until = min(self._survey_at, self._due[first]) if first is not None else self._survey_at
            if not self.stopping.is_set():
                self._bell.wait(max(0.0, (until - now).total_seconds()))
        return None

    def _work(self, organization_id: str) -> None:
        try:
            again = self._step(organization_id)
        except TRANSIENT:
            self.ring(organization_id)
            raise
        except Exception:
            # One organization's trouble must not stop the others'.
            log.exception("step.failed", part=self._name, organization_id=organization_id)
            again = self._clock() + AFTER_A_FAULT
        with self._bell:
            self._due[organization_id] = min(again, self._due.get(organization_id, again))

    def _wait_out(self, error: Exception) -> None:
        self._failures += 1
        why = str(error).splitlines()[0]
        self._health.bad(self._name, why)
        log.warning("step.waits", part=self._name, why=why)
        self.stopping.wait(backoff(self._failures, random.random()))  # noqa: S311 - spreads retries, guards nothing

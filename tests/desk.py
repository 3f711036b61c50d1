"""A mailer without threads: planner and sender at one's fingertips, a clock that is moved by hand, a provider that notes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, update

from services.mailer.content import Writer
from services.mailer.planner import Planner
from services.mailer.provider import Accepted, Mail, Outcome, Taken, unnoted
from services.mailer.rate import Rate
from services.mailer.sender import Sender
from shared.database.tables import direct_mail, mail_batch, mail_rate
from tests.mailing import NOON, ORGANIZATION


class Recording:
    """A provider that notes what it gets and answers as it is told; by default it takes everything."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.calls: list[tuple[str, list[Mail]]] = []
        self._outcomes = list(outcomes)

    def send_batch(self, mails: Any, idempotency_key: str, _taken: Taken = unnoted) -> Outcome:
        self.calls.append((idempotency_key, list(mails)))
        if self._outcomes:
            return self._outcomes.pop(0)
        return Accepted({n: f"id-{len(self.calls)}-{n}" for n in range(len(mails))})

    @property
    def recipients(self) -> list[str]:
        return [mail.to for _, mails in self.calls for mail in mails]


class Desk:
    """Planner and sender at one's fingertips, with a clock that stands still until it is moved."""

    def __init__(
        self,
        store: Engine,
        provider: Any,
        now: datetime = NOON,
        owner: str = "mailer-0",
        owns_name: Callable[[], bool] = lambda: True,
    ) -> None:
        self.now = now
        self.provider = provider
        self._store = store
        self._planner = Planner(store, lambda: self.now)
        self._sender = Sender(
            store,
            provider,
            Writer("s3cret", "https://r.example"),
            Rate("sandbox", 10_000),
            owner=owner,
            from_email="",
            clock=lambda: self.now,
            sent=lambda _: None,
            owns_name=owns_name,
        )

    def plan(self) -> datetime:
        return self._planner.step(ORGANIZATION)

    def step(self) -> datetime:
        return self._sender.step(ORGANIZATION)

    def wait(self, time: timedelta) -> None:
        """As if so much time went by, for the database as well, whose clock leases and the provider's rate go by."""
        self.now += time
        with self._store.begin() as connection:
            leases = {"lease_until": mail_batch.c.lease_until - time, "claimed_at": mail_batch.c.claimed_at - time}
            connection.execute(update(mail_batch).values(leases))
            connection.execute(update(mail_rate).values(next_at=mail_rate.c.next_at - time))
            claimed = update(direct_mail).where(direct_mail.c.state == "claimed")
            connection.execute(claimed.values(due_at=direct_mail.c.due_at - time))

    def run(self) -> datetime:
        """Until nothing is due; when to come again."""
        self.plan()
        again = self.now
        while again <= self.now:
            again = self.step()
        return again

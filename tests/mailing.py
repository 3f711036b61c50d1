"""What tests of the mailer share: an organization with customers and campaigns, the sandbox, a mailer that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, func, insert, select, update

from services.local import ports
from shared.database.tables import campaign, customer, message, organization, segment
from shared.kafka_access import variables
from tests.stack import TRUSTS_NOBODY, eventually

ORGANIZATION = "acme"
NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)  # a Wednesday
RUN_SANDBOX = """
import sys
from pathlib import Path
from services.local.sandbox.main import run
run("127.0.0.1", int(sys.argv[1]), Path(sys.argv[2]), "http://127.0.0.1:9/webhooks/resend", "whsec_cmVndWxhcnMtc2FuZGJveA==")
"""
RUN_MAILER = """
from services.mailer.main import run
from shared.settings import MailerSettings, load
run(load(MailerSettings))
"""


def organize(connection: Any, **given: Any) -> None:
    values = {"organization_id": ORGANIZATION, "name": "Acme Café", "currency": "INR", "time_zone": "UTC"}
    values |= {"sender_name": "Acme", "sender_email": "hello@acme.example", "postal_address": "1 Long Road\nPune"}
    connection.execute(insert(organization).values(**values | given))


def person(customer_id: str, **given: Any) -> dict[str, Any]:
    return {
        "organization_id": ORGANIZATION,
        "customer_id": customer_id,
        "name": "Asha Rao",
        "email": f"{customer_id}@example.com",
        "email_verified": True,
        "marketing_consent": True,
        "email_frequency": None,
        "time_zone": None,
        "preferred_contact_time": None,
        "memberships": b"",
        "birthday": None,
        "anniversary": None,
        "registered_given_at": None,
        "consent_at": None,
        "phone": None,
        "total_spent": 0,
        "visit_count": 0,
        "tags": [],
    } | given


def add_people(connection: Any, *people: dict[str, Any]) -> None:
    connection.execute(insert(customer), list(people))


def add_campaign(connection: Any, campaign_id: str = "promo", **given: Any) -> None:
    values = {
        "organization_id": ORGANIZATION,
        "campaign_id": campaign_id,
        "name": campaign_id,
        "type": "promotional",
        "subject": "For you, {first_name|friend}",
        "body": "Hello **{first_name|friend}**, come back.",
        "state": "sending",
    }
    connection.execute(insert(campaign).values(**values | given))


def add_segment(connection: Any, segment_id: str, slot: int) -> None:
    """Its members are the people whose `memberships` have the bit of this slot."""
    connection.execute(
        insert(segment).values(
            organization_id=ORGANIZATION, segment_id=segment_id, name=segment_id, kind="dynamic", slot=slot
        )
    )


def edit(store: Engine, **values: Any) -> None:
    """All customers."""
    with store.begin() as connection:
        connection.execute(update(customer).values(**values))


def occasions(store: Engine) -> set[tuple[str, str]]:
    """customer, occasion of each message."""
    with store.connect() as connection:
        return {(row.customer_id, row.occasion) for row in connection.execute(select(message))}


def states(database: Engine, campaign_id: str = "promo") -> dict[str, tuple[str, str | None]]:
    """customer -> (state, reason)."""
    with database.connect() as connection:
        rows = connection.execute(
            select(message.c.customer_id, message.c.state, message.c.reason).where(
                message.c.organization_id == ORGANIZATION, message.c.campaign_id == campaign_id
            )
        )
        return {row.customer_id: (row.state, row.reason) for row in rows}


def campaign_state(database: Engine, campaign_id: str = "promo") -> str:
    with database.connect() as connection:
        return str(
            connection.execute(
                select(campaign.c.state).where(
                    campaign.c.organization_id == ORGANIZATION, campaign.c.campaign_id == campaign_id
                )
            ).scalar_one()
        )


def notify(connection: Any) -> None:
    connection.execute(select(func.pg_notify("regulars_campaigns", ORGANIZATION)))


@dataclass(frozen=True)
class Sandbox:
    url: str

    def mails(self) -> list[dict[str, Any]]:
        """All that arrived, each with its headers, text and html."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"limit": 100} | ({"cursor": cursor} if cursor else {})
            page = httpx.get(f"{self.url}/messages", params=query, verify=TRUSTS_NOBODY).raise_for_status().json()
            items += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return items

    def count(self) -> int:
        return int(
            httpx.get(f"{self.url}/messages", params={"limit": 1}, verify=TRUSTS_NOBODY)
            .raise_for_status()
            .json()["count"]
        )

    def fault(self, kind: str, times: int = 1) -> None:
        httpx.post(f"{self.url}/faults", json={"kind": kind, "next": times}, verify=TRUSTS_NOBODY).raise_for_status()


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    port = ports.free()
    with subprocess.Popen([sys.executable, "-c", RUN_SANDBOX, str(port), str(folder)]) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: _answers(f"{url}/readyz"))
            yield Sandbox(url)
        finally:
            process.kill()


class Mailer:
    """A mailer in a process of its own."""

    def __init__(self, settings: Any) -> None:
        self.port = ports.free()
        given = {
            "DATABASE": settings.database,
            "TOPIC_PREFIX": settings.topic_prefix,
            "SANDBOX_URL": settings.sandbox_url,
            "INSTANCE": settings.instance,
            "MAIL_PROVIDER": settings.mail_provider,
            "SMTP_URL": settings.smtp_url.get_secret_value(),
            "SMTP_TLS": settings.smtp_tls,
            "SMTP_CONNECTIONS": str(settings.smtp_connections),
            "SMTP_MAILS_PER_SECOND": str(settings.smtp_mails_per_second),
            "SENDERS": str(settings.senders),
            "METRICS_PORT": str(self.port),
        }
        environment = os.environ | variables(settings) | {f"REGULARS_{name}": value for name, value in given.items()}
        self._process = subprocess.Popen([sys.executable, "-c", RUN_MAILER], env=environment)

    def readiness(self) -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", verify=TRUSTS_NOBODY).text.strip()
        except httpx.TransportError:
            return "not listening"

    def wait_until_ready(self) -> None:
        eventually(lambda: self.readiness() == "ready", deadline=60)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM and the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


@contextmanager
def mailer(settings: Any) -> Iterator[Mailer]:
    running = Mailer(settings)
    try:
        yield running
    finally:
        running.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, verify=TRUSTS_NOBODY).is_success
    except httpx.TransportError:
        return False

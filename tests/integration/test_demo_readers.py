"""A mail's whole way as in the demo: sent by the mailer, reported by the sandbox, opened and clicked by its readers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.installation import Installation
from services.local import ports
from services.local.demo import households, readers
from services.local.demo.mailboxes import is_gone
from services.local.demo.reader import Letter, acts
from services.local.program import Program
from shared.clock import utc_now
from shared.database.tables import message, suppression
from shared.settings import IngestSettings, MailerSettings
from tests import mailing
from tests.ingest import Service, running
from tests.mailing import ORGANIZATION, add_campaign, add_people, organize, person
from tests.stack import eventually

SUBJECT = "Fresh bread"
BODY = "Look at [our bread](https://shop.example/bread)."


def _who(*kinds: str, gone: bool = False) -> str:
    """The address of somebody who does just that with the mail."""
    for number in count():
        address = households.make_up(f"hh-{number}", date(2026, 11, 27), []).email
        if is_gone(address) == gone:
            letter = Letter("m", address, SUBJECT, "pixel", ["link"], "unsubscribe")
            if [act.kind for act in acts(letter)] == [*kinds]:
                return address
    raise AssertionError


@pytest.fixture
def ingest(settings: Callable[..., Any]) -> Iterator[Service]:
    with running(settings(IngestSettings, too_soon_seconds=0), clock=utc_now) as service:
        yield service


@pytest.fixture
def sandbox(ingest: Service, tmp_path: Path) -> Iterator[str]:
    """As `regulars demo` starts it."""
    port = ports.free()
    command = [sys.executable, "-P", "-m", "services.cli", "sandbox", "--port", str(port), "--demo"]
    given = {
        "REGULARS_PUBLIC_URL": _url(ingest),
        "REGULARS_WEBHOOK_SECRET": ingest.settings.webhook_secret.get_secret_value(),
    }
    program = Program("sandbox", command, tmp_path, given)
    process = program.start(tmp_path / "sandbox.log", tmp_path)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop(process, grace=10)


@pytest.fixture
def reader() -> Iterator[Callable[[readers.Readers], readers.Readers]]:
    with ExitStack() as ends:
        yield lambda made: ends.enter_context(closing(made))


def _url(ingest: Service) -> str:
    return str(ingest.client.base_url).rstrip("/")


def test_a_mail_is_delivered_opened_clicked_bounced_and_left(
    ingest: Service,
    sandbox: str,
    settings: Callable[..., Any],
    reader: Callable[[readers.Readers], readers.Readers],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REGULARS_PUBLIC_URL", _url(ingest))
    addresses = {
        "opens": _who("open"),
        "prefetches": _who("prefetch"),
        "clicks": _who("open", "click"),
        "leaves": _who("open", "unsubscribe"),
        "complains": _who("open", "complain"),
        "ignores": _who(),
        "gone": _who(gone=True),
        "visitor": "maria@example.com",
    }
    with ingest.engine.begin() as connection:
        organize(connection)
        add_people(connection, *(person(role, email=address) for role, address in addresses.items()))
        add_campaign(connection, subject=SUBJECT, body=BODY)

    def seen() -> dict[str, Any]:
        marks = (
            "delivered_at",
            "opened_at",
            "machine_opened_at",
            "clicked_at",
            "bounced_at",
            "complained_at",
            "unsubscribed_at",
        )
        with ingest.engine.connect() as connection:
            rows = connection.execute(select(message).where(message.c.organization_id == ORGANIZATION)).all()
        return {
            row.customer_id: {mark.removesuffix("_at") for mark in marks if getattr(row, mark) is not None}
            for row in rows
        }

    expected = {
        "opens": {"delivered", "opened"},
        "prefetches": {"delivered", "machine_opened"},
        "clicks": {"delivered", "opened", "clicked"},
        "leaves": {"delivered", "opened", "unsubscribed"},
        "complains": {"delivered", "opened", "complained"},
        "ignores": {"delivered"},
        "gone": {"bounced"},
        "visitor": {"delivered"},
    }
    found = Installation(tmp_path, ORGANIZATION, endpoints={"ingest": _url(ingest), "sandbox": sandbox})
    # Ten times as fast, since nobody here follows two links: those within a second would be a machine's.
    reading = reader(readers.Readers(found, clock=lambda: time.monotonic() * 10))

    def all_is_read() -> bool:
        reading.step()
        return seen() == expected

    with mailing.mailer(settings(MailerSettings, sandbox_url=sandbox)):
        eventually(all_is_read, deadline=90, every=0.1)
    eventually(lambda: reading.step() or not readers.unread(found))
    with ingest.engine.connect() as connection:
        suppressed = {(row.email, row.reason) for row in connection.execute(select(suppression))}
    assert suppressed == {
        (addresses["gone"], "bounce"),
        (addresses["complains"], "complaint"),
        (addresses["leaves"], "unsubscribe"),
    }
    # After a restart nothing is read again.
    again = reader(readers.Readers(found))
    again.step()
    assert not again._due

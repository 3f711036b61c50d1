"""The pixel and the links of mails: what is kept, where they lead, and who counts as a person."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from services.ingest.routes.tracking import PIXEL
from shared.database.tables import mail_batch, mail_click, mail_content, message
from shared.domain.links import sign_link
from shared.domain.machines import SETTLED
from shared.kafka import Topic
from shared.settings import IngestSettings
from tests.ingest import NOW, Service, running
from tests.integration.test_ingest_mail import MESSAGE, plan, published, stored, webhook
from tests.stack import eventually

LINKS = ["https://shop.example/spring?a=1&b=2", "https://shop.example/ümlaut", "https://shop.example/3"]
PHONE = {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"}
APPLE = {"user-agent": "Mozilla/5.0"}
BATCH = uuid.UUID(int=70)


@dataclass
class Hands:
    """A clock that the test moves."""

    now: datetime = field(default=NOW)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def ingest(settings: Callable[..., Any], clock: Hands) -> Iterator[Service]:
    with running(settings(IngestSettings), clock=clock) as service:
        plan(service, batch_id=BATCH)
        write(service, MESSAGE)
        yield service


def write(service: Service, message_id: str) -> None:
    """What the mail was written from."""
    own = {"organization_id": "demo"}
    with service.engine.begin() as connection:
        connection.execute(insert(mail_content).values(**own, content_id="spring", content={"links": LINKS}))
        connection.execute(
            insert(mail_batch).values(
                **own,
                batch_id=BATCH,
                campaign_id="spring",
                content_id="spring",
                state="published",
                owner="m",
                lease_until=NOW,
                claimed_at=NOW,
            )
        )


def token(service: Service, message_id: str = MESSAGE, organization_id: str = "demo") -> str:
    return sign_link(service.settings.secret.get_secret_value(), "track", organization_id, message_id)


def follow(service: Service, number: int | str, headers: dict[str, str] = PHONE, method: str = "GET") -> Any:
    return service.client.request(method, f"/c/{token(service)}/{number}", headers=headers)


def settled(service: Service, clock: Hands) -> list[tuple[str, bool]]:
    """Link and verdict of every click, in the order of time, once all are understood."""
    clock.move(SETTLED.total_seconds())

    def verdicts() -> list[tuple[str, bool]] | None:
        with service.engine.connect() as connection:
            rows = connection.execute(select(mail_click).order_by(mail_click.c.at)).all()
        return None if any(row.machine is None for row in rows) else [(row.link, row.machine) for row in rows]

    return eventually(verdicts)


def test_a_persons_look_counts_once_an_hour_and_a_machines_apart(ingest: Service, clock: Hands) -> None:
    for headers in (APPLE, PHONE, PHONE):
        picture = ingest.client.get(f"/o/{token(ingest)}", headers=headers)
        assert (picture.status_code, picture.content) == (200, PIXEL)
        assert picture.headers["content-type"] == "image/gif"
        assert "no-store" in picture.headers["cache-control"]
    row = stored(ingest)
    assert (row.opened_at, row.machine_opened_at) == (NOW, NOW)
    clock.move(3600)
    ingest.client.get(f"/o/{token(ingest)}", headers=PHONE)
    events = published(ingest)
    assert {event["type"] for event in events} == {"mail.opened"}
    assert sorted({(event["id"], event["time"], event["data"]["machine"]) for event in events}) == [
        (f"{MESSAGE}:opened:2026-11-22T10", "2026-11-22T10:15:00Z", False),
        (f"{MESSAGE}:opened:2026-11-22T11", "2026-11-22T11:15:00Z", False),
        (f"{MESSAGE}:opened:machine:2026-11-22T10", "2026-11-22T10:15:00Z", True),
    ]
    assert stored(ingest).opened_at == NOW


def test_a_link_leads_where_the_mail_said_and_the_click_is_told(ingest: Service, clock: Hands) -> None:
    answer = follow(ingest, 0)
    assert (answer.status_code, answer.headers["location"]) == (302, LINKS[0])
    assert answer.headers["referrer-policy"] == "no-referrer"
    clock.move(5)
    assert follow(ingest, 1).headers["location"] == "https://shop.example/%C3%BCmlaut"
    assert settled(ingest, clock) == [(LINKS[0], False), (LINKS[1], False)]
    assert stored(ingest).clicked_at == NOW
    first, second = sorted(published(ingest), key=lambda event: event["time"])
    assert first["type"] == second["type"] == "mail.clicked"
    assert first["data"] == {
        "organization_id": "demo",
        "message_id": MESSAGE,
        "campaign_id": "spring",
        "customer_id": "c-1",
        "machine": False,
        "link": LINKS[0],
    }
    assert ingest.held(Topic.MAIL)[0][0] == b"demo/c-1"


@pytest.mark.parametrize("number", ["3", "-1", "00000", "x", "1e0", "٣", "0/https:%2F%2Fevil.example"])
def test_no_link_leads_elsewhere(ingest: Service, number: str) -> None:
    assert follow(ingest, number).status_code == 404


def test_a_link_speaks_only_for_its_own_mail(ingest: Service) -> None:
    good = token(ingest)
    other = sign_link(ingest.settings.secret.get_secret_value(), "unsubscribe", "demo", MESSAGE)
    for bad in (good[:-1], f"other.{good.partition('.')[2]}", other, token(ingest, str(uuid.UUID(int=8)))):
        assert ingest.client.get(f"/c/{bad}/0").status_code == 404
        assert ingest.client.get(f"/o/{bad}").content == PIXEL
    for place in "up":
        assert ingest.client.get(f"/{place}/{good}").status_code == 404
    assert stored(ingest).opened_at is None


def test_who_follows_every_link_at_once_is_a_scanner_and_a_later_click_a_persons(ingest: Service, clock: Hands) -> None:
    for number in range(3):
        assert follow(ingest, number).status_code == 302
        clock.move(0.2)
    clock.move(60)
    follow(ingest, 2)
    assert settled(ingest, clock) == [(LINKS[0], True), (LINKS[1], True), (LINKS[2], True), (LINKS[2], False)]
    assert stored(ingest).clicked_at == NOW + timedelta(seconds=60.6)
    assert sorted(event["data"]["machine"] for event in published(ingest)) == [False, True, True, True]


@pytest.mark.parametrize(
    ("headers", "method", "sent"), [(APPLE, "GET", -60), (PHONE, "HEAD", -60), (PHONE, "GET", -0.5)]
)
def test_machines_are_led_on_and_count_as_no_click(
    ingest: Service, clock: Hands, headers: dict[str, str], method: str, sent: float
) -> None:
    with ingest.engine.begin() as connection:
        connection.execute(message.update().values(sent_at=NOW + timedelta(seconds=sent)))
    assert follow(ingest, 0, headers, method).headers["location"] == LINKS[0]
    assert settled(ingest, clock) == [(LINKS[0], True)]
    assert stored(ingest).clicked_at is None
    (event,) = published(ingest)
    assert event["data"]["machine"]


def test_a_click_that_resend_tells_is_understood_beside_the_others_and_counts_once(
    ingest: Service, clock: Hands
) -> None:
    ours = f"{ingest.settings.public_url}/c/{token(ingest)}/2"
    for _ in range(2):
        assert webhook(ingest, "clicked", click={"link": ours, "userAgent": PHONE["user-agent"]}).is_success
    clock.move(60)
    webhook(ingest, "clicked", clock.now, "msg_2")
    assert settled(ingest, clock) == [(LINKS[2], False), ("https://example.com/offer", False)]
    assert stored(ingest).clicked_at == NOW
    assert len({event["id"] for event in published(ingest)}) == 2


def test_nothing_is_told_of_somebody_erased_but_the_link_still_leads_on(ingest: Service, clock: Hands) -> None:
    with ingest.engine.begin() as connection:
        connection.execute(message.update().values(customer_id=f"erased:{MESSAGE}", email=None))
    ingest.client.get(f"/o/{token(ingest)}", headers=PHONE)
    assert follow(ingest, 0).headers["location"] == LINKS[0]
    settled(ingest, clock)
    assert published(ingest) == []


def test_a_click_that_is_faster_than_the_mailers_books_leads_on_too(ingest: Service) -> None:
    letters = f'[["{MESSAGE}","c-1","asha@example.com",{{}}]]'.encode()
    with ingest.engine.begin() as connection:
        connection.execute(message.update().values(batch_id=None, state="planned", sent_at=None))
    assert follow(ingest, 0).status_code == 404
    with ingest.engine.begin() as connection:
        connection.execute(mail_batch.update().values(state="claimed", letters=letters))
    assert follow(ingest, 0).headers["location"] == LINKS[0]

"""Addresses confirmed by a mail's link: asked for, sent, pressed."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from services.mailer import verifications
from shared.database.campaigns import read_organization
from shared.database.suppressions import Suppressed, suppress
from shared.database.tables import customer, direct_mail, mail_slot, message, organization, suppression
from shared.domain.links import sign_link
from shared.kafka import Topic
from shared.settings import AdminSettings, IngestSettings
from tests import admin, ingest
from tests.desk import Desk, Recording
from tests.ingest import Service
from tests.integration.test_ingest_mail import deliver
from tests.mailing import NOON, ORGANIZATION, add_people, organize, person

MAIL = str(uuid.UUID(int=5))


@pytest.fixture
def store(store: Engine) -> Engine:
    with store.begin() as connection:
        organize(connection)
    return store


def plan(store: Engine, now: Any = NOON) -> list[str]:
    """Who is asked."""
    with store.begin() as connection:
        sender = read_organization(connection, ORGANIZATION)
        assert sender is not None
        verifications.plan(connection, sender, now)
        asked = select(direct_mail.c.email).where(direct_mail.c.kind == "verification")
        return sorted(connection.execute(asked).scalars())


def test_new_addresses_are_asked_once_where_the_organization_wants_it(store: Engine) -> None:
    since = NOON - timedelta(hours=1)
    unverified = {"email_verified": False, "marketing_consent": False}
    with store.begin() as connection:
        add_people(
            connection,
            person("new", **unverified, email_at=NOON),
            person("again", **unverified, email_at=NOON),
            person("old", **unverified, email_at=since - timedelta(hours=1)),
            person("sure", email_at=NOON),
            person("gone", **unverified, email_at=NOON),
            person("none", **unverified, email_at=NOON) | {"email": None},
        )
        suppress(connection, ORGANIZATION, [Suppressed("gone@example.com", "bounce", NOON)])
    assert plan(store) == []
    with store.begin() as connection:
        connection.execute(update(organization).values(verifies_since=since))
    for _ in range(2):
        assert plan(store) == ["again@example.com", "new@example.com"]
    with store.begin() as connection:
        changed = update(customer).where(customer.c.customer_id == "new")
        connection.execute(changed.values(email="newer@example.com", email_at=NOON + timedelta(hours=1)))
    later = NOON + timedelta(hours=1)
    assert plan(store, later) == ["again@example.com", "new@example.com", "newer@example.com"]
    assert plan(store, NOON + timedelta(days=9)) == ["again@example.com", "new@example.com", "newer@example.com"]


def test_a_verification_mail_holds_its_link_and_nothing_of_a_campaigns(store: Engine) -> None:
    with store.begin() as connection:
        add_people(connection, person("c-1", email_verified=False, marketing_consent=False, email_frequency="never"))
        connection.execute(
            insert(direct_mail).values(
                organization_id=ORGANIZATION,
                mail_id=uuid.UUID(MAIL),
                kind="verification",
                email="c-1@example.com",
                customer_id="c-1",
                due_at=NOON,
            )
        )
    provider = Recording()
    Desk(store, provider).run()
    ((key, (mail,)),) = provider.calls
    assert (key, mail.to, mail.subject) == (MAIL, "c-1@example.com", "Please confirm your address for Acme Café")
    link = "https://r.example/v/" + sign_link("s3cret", "verify", ORGANIZATION, MAIL)
    assert f'href="{link}"' in mail.html
    assert f"\n{link}\n" in mail.text
    assert "1 Long Road" in mail.html
    assert not re.search(r"/[ucop]/|List-Unsubscribe", mail.html + mail.text + str(mail.headers))
    with store.connect() as connection:
        assert connection.execute(select(direct_mail.c.state)).scalar() == "sent"
        assert connection.execute(select(message)).all() == []
        assert connection.execute(select(mail_slot)).all() == []


@pytest.fixture
def service(settings: Callable[..., Any]) -> Iterator[Service]:
    with ingest.running(settings(IngestSettings)) as running:
        own = {"organization_id": "demo", "customer_id": "c-1", "email": "asha@example.com"}
        with running.engine.begin() as connection:
            connection.execute(insert(customer).values(own))
            connection.execute(insert(direct_mail).values(**own, mail_id=uuid.UUID(MAIL), kind="verification"))
        yield running


def page(service: Service, purpose: Any = "verify") -> str:
    return "/v/" + sign_link(service.settings.secret.get_secret_value(), purpose, "demo", MAIL)


def test_pressing_the_button_confirms_exactly_that_address(service: Service) -> None:
    shown = service.client.get(page(service))
    assert "asha@example.com" in shown.text
    assert "Yes, confirm" in shown.text
    assert service.told(Topic.CUSTOMERS) == []
    for _ in range(2):
        assert "asha@example.com is confirmed" in service.client.post(page(service)).text
    events = service.told(Topic.CUSTOMERS)
    assert {event["id"] for event in events} == {f"{MAIL}:verified"}
    assert events[0]["data"] == {
        "organization_id": "demo",
        "customer_id": "c-1",
        "email_verified": True,
        "verified_email": "asha@example.com",
    }
    assert service.client.post(page(service, "unsubscribe")).status_code == 404


def test_a_link_never_confirms_a_later_address(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(update(customer).values(email="new@example.com"))
    assert "another address of yours" in service.client.post(page(service)).text
    assert service.told(Topic.CUSTOMERS) == []


def test_a_verification_mail_that_comes_back_suppresses_its_address(service: Service) -> None:
    body = (
        b'{"type":"email.bounced","created_at":"2026-11-22T10:00:00Z","data":{"email_id":"re_1",'
        b'"bounce":{"type":"Permanent"},"tags":{"organization_id":"demo","message_id":"%s"}}}' % MAIL.encode()
    )
    assert deliver(service, body).json() == {"status": "recorded"}
    with service.engine.connect() as connection:
        assert connection.execute(select(suppression.c.email, suppression.c.reason)).all() == [
            ("asha@example.com", "bounce")
        ]
        assert connection.execute(select(direct_mail.c.state)).scalar() == "failed"


def test_a_marketer_asks_for_one_and_is_told_where_it_makes_no_sense(settings: Callable[..., Any]) -> None:
    with admin.running(settings(AdminSettings)) as api:
        api.add_customer("a/b", email="a@example.com")
        api.add_customer("sure", email="b@example.com", email_verified=True)
        api.add_customer("none")
        first = api("POST", "/customers/a%2Fb/verification", role="marketer")
        assert first.status_code == 202, first.text
        assert (first.json()["email"], first.json()["state"]) == ("a@example.com", "planned")
        assert api("POST", "/customers/a%2Fb/verification").json()["id"] == first.json()["id"]
        for customer_id, why in (("sure", "verified already"), ("none", "No address")):
            refused = api("POST", f"/customers/{customer_id}/verification")
            assert (refused.status_code, why in refused.json()["detail"]) == (409, True)
        api("POST", "/suppressions", {"emails": ["A@example.com"]})
        assert "suppressed (import)" in api("POST", "/customers/a%2Fb/verification").json()["detail"]
        assert api("POST", "/customers/nobody/verification").status_code == 404
        assert api("POST", "/customers/sure/verification", role="viewer").status_code == 403

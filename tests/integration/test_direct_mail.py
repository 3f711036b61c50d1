from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from services.mailer.provider import Accepted, Refused, Retry
from shared.database import direct_mails
from shared.database.tables import direct_mail, mail_slot, message, suppression
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, organize, person


@pytest.fixture
def store(store: Engine) -> Engine:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("c-1", name="Asha Rao", marketing_consent=False))
        add_campaign(connection, state="draft")
    return store


def ask(store: Engine, *emails: str, kind: Any = "test") -> None:
    with store.begin() as connection:
        direct_mails.request(connection, ORGANIZATION, kind, emails, now=NOON, campaign_id="promo", customer_id="c-1")


def rows(store: Engine) -> dict[str, Any]:
    with store.connect() as connection:
        return {row.email: row for row in connection.execute(select(direct_mail))}


def test_a_test_is_marked_written_as_the_customer_and_held_by_suppression_alone(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(
            insert(suppression).values(organization_id=ORGANIZATION, email="gone@x.example", reason="bounce")
        )
    ask(store, "me@x.example", "Gone@x.example")
    provider = Recording()
    Desk(store, provider).run()
    ((key, (mail,)),) = provider.calls
    found = rows(store)
    assert (mail.to, mail.subject) == ("me@x.example", "[Test] For you, Asha")
    assert mail.headers["X-Regulars-Kind"] == "test"
    assert "Hello <strong>Asha</strong>" in mail.html
    assert (found["me@x.example"].state, str(found["me@x.example"].mail_id)) == ("sent", key)
    assert (found["Gone@x.example"].state, found["Gone@x.example"].reason) == ("skipped", "suppressed")
    with store.connect() as connection:
        assert connection.execute(select(message)).all() == []
        assert connection.execute(select(mail_slot)).all() == []


def test_a_test_in_doubt_goes_again_under_its_key_with_its_bytes(store: Engine) -> None:
    ask(store, "me@x.example")
    provider = Recording(Retry("no answer", in_doubt=True))
    desk = Desk(store, provider)
    desk.run()
    with store.begin() as connection:
        connection.exec_driver_sql("UPDATE campaign SET subject = 'Another'")
        connection.exec_driver_sql("UPDATE customer SET name = 'Somebody Else'")
    desk.wait(timedelta(minutes=2))
    desk.run()
    assert len(provider.calls) == 2
    assert provider.calls[0] == provider.calls[1]
    assert rows(store)["me@x.example"].state == "sent"


def test_a_mailer_that_died_in_the_call_leaves_a_mail_that_the_next_one_sends_once(store: Engine) -> None:
    class Dies(BaseException):
        pass

    class Killed(Recording):
        def send_batch(self, mails: Any, idempotency_key: str, _taken: Any = None) -> Any:
            super().send_batch(mails, idempotency_key)
            raise Dies

    ask(store, "me@x.example")
    first, second = Killed(), Recording()
    with pytest.raises(Dies):
        Desk(store, first).run()
    Desk(store, second, owner="mailer-1").run()
    assert second.calls == []  # within the lease it may still be under way
    other = Desk(store, second, owner="mailer-1")
    other.wait(timedelta(seconds=61))
    other.run()
    assert second.calls == first.calls


@pytest.mark.parametrize("outcome", [Accepted({}, {0: "bad address"}), Refused("bad address")])
def test_what_the_provider_refuses_fails_with_its_words(store: Engine, outcome: Any) -> None:
    ask(store, "me@x.example")
    Desk(store, Recording(outcome)).run()
    row = rows(store)["me@x.example"]
    assert (row.state, row.reason, row.detail) == ("failed", "provider_refused", "bad address")


def test_what_cannot_be_written_fails_and_holds_up_nobody(store: Engine) -> None:
    ask(store, "first@x.example", kind="unheard-of")
    ask(store, "second@x.example")
    provider = Recording()
    Desk(store, provider).run()
    assert provider.recipients == ["second@x.example"]
    assert rows(store)["first@x.example"].state == "failed"

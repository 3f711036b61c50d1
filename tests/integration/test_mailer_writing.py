"""What is written on mails that went: the same on all of a claim, except where something happened to one meanwhile."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, Row, insert, select, update

from services.ingest.feedback import Feedback, record
from services.mailer.provider import Accepted, Outcome
from services.segmenter.forgetting import FORGET_MAIL
from shared.database.tables import customer, mail_batch, mail_slot, message
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, organize, person


def messages(store: Engine) -> dict[str, Row[Any]]:
    with store.connect() as connection:
        return {row.customer_id: row for row in connection.execute(select(message))}


def told(store: Engine) -> dict[UUID, dict[str, str | None]]:
    """What the provider called each mail, by batch."""
    with store.connect() as connection:
        rows = connection.execute(select(mail_batch.c.batch_id, mail_batch.c.ids)).all()
    return {row.batch_id: json.loads(row.ids) for row in rows if row.ids}


def test_each_mail_names_its_batch_which_names_the_mail_of_the_provider(store: Engine) -> None:
    names = [f"c-{n}" for n in range(450)]
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *map(person, names))
        add_campaign(connection)
    provider = Recording()
    Desk(store, provider).run()
    rows, ids = messages(store), told(store)
    assert {(row.state, row.sent_at, row.email) for row in rows.values()} == {
        ("sent", NOON, f"{name}@example.com") for name in names
    }
    by_id = {str(row.message_id): row for row in rows.values()}
    assert [len(mails) for _, mails in provider.calls] == [100, 100, 100, 100, 50]
    for number, (key, mails) in enumerate(provider.calls, 1):
        for place, mail in enumerate(mails):
            assert str(by_id[mail.message_id].batch_id) == key
            assert ids[UUID(key)][mail.message_id] == f"id-{number}-{place}"


class Eventful(Recording):
    """While the provider has the mails, things happen to some of them; it may refuse the last one."""

    def __init__(self, store: Engine, *, refusing: bool) -> None:
        super().__init__()
        self._store = store
        self._refusing = refusing

    def send_batch(self, mails: Any, *given: Any) -> Outcome:
        super().send_batch(mails, *given)
        ids = {mail.to: mail.message_id for mail in mails}
        with self._store.begin() as connection:
            record(connection, ORGANIZATION, UUID(ids["b@example.com"]), Feedback("delivered", NOON, "re_b"))
            connection.exec_driver_sql(FORGET_MAIL, {"organization_id": ORGANIZATION, "root": "c"})
        taken = len(mails) - self._refusing
        return Accepted({n: f"id-{n}" for n in range(taken)}, dict.fromkeys(range(taken, len(mails)), "no mailbox"))


@pytest.mark.parametrize("refusing", [False, True])
def test_what_happened_to_a_mail_meanwhile_stands(store: Engine, *, refusing: bool) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *map(person, "abcd"))
        add_campaign(connection)
    Desk(store, Eventful(store, refusing=refusing)).run()
    rows = messages(store)
    erased = next(name for name in rows if name.startswith("erased:"))
    assert {name: (row.state, row.email) for name, row in rows.items()} == {
        "a": ("sent", "a@example.com"),
        "b": ("delivered", "b@example.com"),
        erased: ("sent", None),
        "d": ("failed" if refusing else "sent", "d@example.com"),
    }


def test_a_mail_goes_to_the_address_of_the_moment_and_says_so(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *map(person, "abc"))
        add_campaign(connection)
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    with store.begin() as connection:
        connection.execute(update(customer).where(customer.c.customer_id == "b").values(email="new@example.com"))
    desk.run()
    assert provider.recipients == ["a@example.com", "new@example.com", "c@example.com"]
    assert {name: (row.state, row.email) for name, row in messages(store).items()} == {
        "a": ("sent", "a@example.com"),
        "b": ("sent", "new@example.com"),
        "c": ("sent", "c@example.com"),
    }


def test_slots_are_moved_whoever_had_one(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        choices = {"a": None, "b": "weekly", "c": "weekly", "d": "monthly", "e": None}
        add_people(connection, *[person(name, email_frequency=each) for name, each in choices.items()])
        for name, day in {"a": 9, "b": 7, "c": 8, "e": 30}.items():
            slot = {"customer_id": name, "last_on": date(2026, 6, day), "campaign_id": "old", "occasion": "send"}
            connection.execute(insert(mail_slot).values(organization_id=ORGANIZATION, **slot))
        add_campaign(connection)
    provider = Recording()
    Desk(store, provider).run()
    # NOON is a Wednesday, the tenth: c had this week's mail on Monday. A clock that ran ahead took e's day.
    assert provider.recipients == ["a@example.com", "b@example.com", "d@example.com", "e@example.com"]
    with store.connect() as connection:
        slots = {row.customer_id: row for row in connection.execute(select(mail_slot))}
    today, moved = date(2026, 6, 10), ("promo", "send")
    assert {name: (row.last_on, row.previous_on) for name, row in slots.items()} == {
        "a": (today, date(2026, 6, 9)),
        "b": (today, date(2026, 6, 7)),
        "c": (date(2026, 6, 8), None),
        "d": (today, date(2026, 5, 31)),
        "e": (today, date(2026, 6, 30)),
    }
    assert {name for name, row in slots.items() if (row.campaign_id, row.occasion) == moved} == {"a", "b", "d", "e"}

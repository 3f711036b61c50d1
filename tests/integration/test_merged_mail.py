"""Mail that waits for a customer who is merged into another one goes to that one, and nobody gets it twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from services.mailer.provider import Accepted, Outcome, Taken, unnoted
from services.segmenter.batch import Batches, process_or_split
from shared.database.tables import campaign, mail_block, message
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, organize, states
from tests.stack import eventually, waits_for_a_lock
from tests.till import Event, event, records

Count = Callable[..., None]


@pytest.fixture
def store(store: Engine) -> Engine:
    with store.begin() as connection:
        organize(connection)
    return store


@pytest.fixture
def count(connection: Any, store: Engine) -> Count:
    batches = Batches(connection, "crm.mail.v1", lambda: NOON)
    return lambda *events: process_or_split(batches, records(events))


def joined(*customers: str) -> list[Event]:
    """Customers who may be mailed."""
    told = []
    for name in customers:
        known = {"customer_id": name, "name": name, "email": f"{name}@example.com", "email_verified": True}
        told.append(event("customer.upserted", f"u-{name}", NOON, ORGANIZATION, **known))
        told.append(
            event("customer.consent_changed", f"c-{name}", NOON, ORGANIZATION, customer_id=name, marketing_consent=True)
        )
    return told


def merged(customer_id: str, into: str) -> Event:
    return event(
        "customer.merged", f"m-{customer_id}", NOON, ORGANIZATION, customer_id=customer_id, into_customer_id=into
    )


def plan(store: Engine, customer_id: str, occasion: str = "send", campaign_id: str = "promo", **given: Any) -> None:
    values = {"campaign_id": campaign_id, "customer_id": customer_id, "occasion": occasion, "state": "waiting"}
    times = {"planned_at": NOON, "wait_until": NOON, "expires_at": NOON + timedelta(days=9)}
    with store.begin() as connection:
        connection.execute(insert(message).values(organization_id=ORGANIZATION, **values | times | given))


def test_mail_in_a_block_goes_to_who_is_left_and_once_to_a_person(store: Engine, count: Count) -> None:
    count(*joined("a", "b", "c", "d", "e"))
    with store.begin() as connection:
        add_campaign(connection)
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    # f is new to the campaign: it gets what waits for d.
    count(*joined("f"), merged("a", "b"), merged("d", "f"))
    desk.run()
    assert sorted(provider.recipients) == [f"{name}@example.com" for name in "bcef"]
    assert states(store) == dict.fromkeys("bcef", ("sent", None)) | {"a": ("skipped", "merged")}


def test_a_chain_of_merges_ends_with_one_mail(store: Engine, count: Count) -> None:
    count(*joined("a", "b", "c"))
    with store.begin() as connection:
        add_campaign(connection, trigger={"on": "birthday"}, state="active", type="birthday")
    for name in ("a", "b"):
        plan(store, name, "birthday-2026")
    count(merged("a", "c"), merged("b", "c"))
    kept = states(store)
    assert kept.pop("c") == ("waiting", None)
    assert list(kept.values()) == [("skipped", "merged")]


@pytest.mark.parametrize("is_late", [True, False])
def test_entries_within_the_cool_down_are_one(store: Engine, count: Count, is_late: bool) -> None:
    count(*joined("a", "b"))
    with store.begin() as connection:
        trigger = {"on": "segment_entered", "segment_id": "s", "cool_down_days": 30}
        add_campaign(connection, trigger=trigger, state="active", type="welcome")
    went = NOON - timedelta(days=31 if is_late else 29)
    plan(store, "b", "entered-1", state="sent", queued=False, planned_at=went, sent_at=went)
    plan(store, "a", "entered-2")
    count(merged("a", "b"))
    with store.connect() as connection:
        found = dict(
            connection.execute(select(message.c.occasion, message.c.customer_id + " " + message.c.state)).all()
        )
    assert found == {"entered-1": "b sent", "entered-2": "b waiting" if is_late else "a skipped"}


def test_who_had_it_under_the_other_id_does_not_get_it_again(store: Engine, count: Count) -> None:
    count(*joined("a", "b"))
    with store.begin() as connection:
        add_campaign(connection)
    plan(store, "a", state="delivered", queued=False, sent_at=NOON)
    plan(store, "b")
    count(merged("a", "b"))
    assert states(store) == {"a": ("delivered", None), "b": ("skipped", "merged")}


def test_the_rest_of_an_ab_test_goes_on_waiting_for_its_winner(store: Engine, count: Count) -> None:
    count(*joined("a", "b"))
    with store.begin() as connection:
        add_campaign(connection)
    plan(store, "a", reason="ab_test", queued=False)
    count(merged("a", "b"))
    with store.connect() as connection:
        (row,) = connection.execute(select(message))
    assert (row.customer_id, row.state, row.reason, row.queued) == ("b", "waiting", "ab_test", False)


def test_what_a_mailer_has_claimed_stays_as_it_is(store: Engine, count: Count) -> None:
    count(*joined("a", "b", "c", "d"))
    with store.begin() as connection:
        add_campaign(connection)
    plan(store, "a", state="planned", queued=False)  # its block is claimed: it is gone
    plan(store, "c", state="claimed", queued=False)
    count(merged("a", "b"), merged("c", "d"))
    assert states(store) == {"a": ("planned", None), "c": ("claimed", None)}


class Interrupted(Recording):
    """A provider that puts mails off at the first call, those to `whom` or all, while which something happens."""

    def __init__(self, why: str | None, meanwhile: Callable[[], None], whom: str = "") -> None:
        super().__init__()
        self._why, self._meanwhile, self._whom = why, meanwhile, whom

    def send_batch(self, mails: Any, idempotency_key: str, _taken: Taken = unnoted) -> Outcome:
        if self.calls:
            return super().send_batch(mails, idempotency_key)
        self._meanwhile()
        goes = [n for n, mail in enumerate(mails) if self._whom and mail.to != self._whom]
        self.calls.append((idempotency_key, [mail for n, mail in enumerate(mails) if n in goes]))
        return Accepted({n: f"id-{n}" for n in goes}, again={n: self._why for n in range(len(mails)) if n not in goes})


@pytest.mark.parametrize("why", [None, "450 come again"])
@pytest.mark.parametrize("others", [(), ("b",)], ids=["b is new to the campaign", "b's mail is on its way too"])
def test_what_is_put_back_after_a_merge_goes_to_who_is_left_once(
    store: Engine, count: Count, why: str | None, others: tuple[str, ...]
) -> None:
    count(*joined("a", "c", *others))
    with store.begin() as connection:
        add_campaign(connection)
    provider = Interrupted(why, lambda: count(*joined("b"), merged("a", "b")))
    desk = Desk(store, provider)
    desk.run()
    # Of two mails that took the same day nobody knows any more which one gave it back: then the next day is free.
    desk.wait(timedelta(days=1) if others else timedelta(minutes=2))
    desk.run()
    assert sorted(provider.recipients) == ["b@example.com", "c@example.com"]
    assert states(store) == dict.fromkeys("bc", ("sent", None)) | dict.fromkeys(
        "a" * len(others), ("skipped", "merged")
    )


def test_what_is_put_back_after_a_merge_meets_the_gates_of_who_is_left(store: Engine, count: Count) -> None:
    count(*joined("a"))
    with store.begin() as connection:
        add_campaign(connection)
    says_no = event("customer.consent_changed", "no", NOON, ORGANIZATION, customer_id="b", marketing_consent=False)
    provider = Interrupted(None, lambda: count(*joined("b"), says_no, merged("a", "b")))
    Desk(store, provider).run()
    assert provider.recipients == []
    assert states(store) == {"b": ("skipped", "no_consent")}


def test_what_is_put_back_after_a_merge_frees_no_day_that_another_mail_took(store: Engine, count: Count) -> None:
    count(*joined("a", "b"))
    with store.begin() as connection:
        for name in ("promo", "other"):
            add_campaign(connection, name, planned_at=NOON)
    for name in ("a", "b"):
        plan(store, name, state="planned")
    plan(store, "b", campaign_id="other", state="planned", wait_until=NOON + timedelta(hours=1))
    provider = Interrupted(None, lambda: count(merged("a", "b")), "a@example.com")
    desk = Desk(store, provider)
    desk.run()
    desk.wait(timedelta(hours=1))
    desk.run()
    assert provider.recipients == ["b@example.com"]
    assert states(store) == {"a": ("skipped", "merged"), "b": ("sent", None)}
    assert states(store, "other") == {"b": ("waiting", "frequency_cap")}
    desk.wait(timedelta(days=1))
    desk.run()
    assert states(store, "other") == {"b": ("sent", None)}


def test_a_merge_waits_for_the_claim_that_it_meets(store: Engine, count: Count, connection: Any, database: str) -> None:
    count(*joined("a", "b"))
    with store.begin() as database_connection:
        add_campaign(database_connection)
        block = {"campaign_id": "promo", "wait_until": NOON, "first_customer": "a", "last_customer": "a"}
        database_connection.execute(insert(mail_block).values(organization_id=ORGANIZATION, **block))
    plan(store, "a", state="planned", queued=False)
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as claiming:
            claiming.execute(mail_block.delete().where(mail_block.c.organization_id == ORGANIZATION))
            merging = pool.submit(count, merged("a", "b"))
            eventually(lambda: waits_for_a_lock(store))
        merging.result(30)
    assert states(store) == {"a": ("planned", None)}


def test_another_organizations_mail_is_not_touched(store: Engine, count: Count) -> None:
    count(*joined("a", "b"))
    with store.begin() as connection:
        organize(connection, organization_id="other")
        add_campaign(connection)
        connection.execute(update(campaign).values(organization_id="other"))
        mail = {"organization_id": "other", "campaign_id": "promo", "customer_id": "a", "occasion": "send"}
        connection.execute(insert(message).values(**mail, state="planned"))
    count(merged("a", "b"))
    with store.connect() as connection:
        assert connection.execute(select(message.c.customer_id)).scalars().all() == ["a"]

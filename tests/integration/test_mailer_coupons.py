"""Coupons in mails: the till knows each code that a mail carries, and each recipient has one, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from services.mailer.claim import claim
from services.mailer.provider import Mail, Retry
from shared.database import campaign_coupons
from shared.database.campaigns import read_campaigns, read_organization
from shared.database.tables import campaign, coupon, coupon_code, coupon_grant, coupon_use, message
from shared.domain.coupons.codes import is_well_formed
from shared.errors import InvalidError
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, organize, person, states

BODY = "Take {discount_value} off with {coupon_code}, until {coupon_expiry|whenever}."


def prepare(store: Engine, people: Sequence[dict[str, Any]], rules: dict[str, Any], **content: Any) -> None:
    """A coupon of 500 off, and a campaign that mails it."""
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *people)
        given = {"organization_id": ORGANIZATION, "code": "VIP500", "type": "fixed", "value": 50_000} | rules
        connection.execute(insert(coupon).values(given))
        add_campaign(connection, body=BODY, coupon_code="VIP500", **content)


def rows(store: Engine, table: Any) -> list[Any]:
    with store.connect() as connection:
        return list(connection.execute(select(table)).all())


def use(store: Engine, sale_id: str, state: str = "redeemed", customer_id: str | None = None) -> None:
    with store.begin() as connection:
        given = {"organization_id": ORGANIZATION, "code": "VIP500", "coupon_code": "VIP500", "discount": 50_000}
        connection.execute(insert(coupon_use).values(**given, sale_id=sale_id, state=state, customer_id=customer_id))
        if state == "redeemed":
            connection.exec_driver_sql("UPDATE coupon SET redemptions = redemptions + 1")


def line(mail: Mail) -> str:
    return next(line for line in mail.text.splitlines() if line.startswith("Take"))


def test_a_shared_code_reads_as_the_customer_would_say_it(store: Engine) -> None:
    ends = datetime(2026, 6, 30, 18, 30, tzinfo=UTC)
    people = [person("a"), person("b", time_zone="Asia/Kolkata")]
    prepare(store, people, {"type": "percentage", "value": 1_250, "valid_until": ends})
    provider = Recording()
    Desk(store, provider).run()
    assert [line(mail) for mail in provider.calls[0][1]] == [
        "Take 12.5% off with VIP500, until 30 June 2026, 18:30.",
        "Take 12.5% off with VIP500, until 30 June 2026.",  # midnight in Kolkata: the last day is the one before
    ]
    assert rows(store, coupon_grant) == []


def test_a_coupon_without_an_end_takes_the_default(store: Engine) -> None:
    prepare(store, [person("a")], {})
    provider = Recording()
    Desk(store, provider).run()
    assert line(provider.calls[0][1][0]) == "Take ₹500.00 off with VIP500, until whenever."


def test_each_recipient_gets_a_grant_with_its_own_end(store: Engine) -> None:
    prepare(store, [person("a"), person("b"), person("c"), person("d", marketing_consent=False)], {}, grant_days=30)
    forever = {"organization_id": ORGANIZATION, "coupon_code": "VIP500", "granted_by": "key:k"}
    with store.begin() as connection:
        connection.execute(insert(coupon_grant).values(**forever, customer_id="b"))
        connection.execute(insert(coupon_grant).values(**forever, customer_id="c", expires_at=NOON))
    provider = Recording()
    Desk(store, provider).run()
    until = NOON + timedelta(days=30)
    granted = {row.customer_id: (row.expires_at, row.granted_by) for row in rows(store, coupon_grant)}
    # Who has it for good keeps it so.
    by = "campaign:promo"
    assert granted == {"a": (until, by), "b": (None, by), "c": (until, by)}
    assert rows(store, coupon)[0].grants_only
    assert [line(mail).split("until ")[1] for mail in provider.calls[0][1]] == [
        "10 July 2026, 12:00.",
        "whenever.",
        "10 July 2026, 12:00.",
    ]


def test_each_recipient_gets_a_code_of_their_own(store: Engine) -> None:
    prepare(store, [person("a"), person("b")], {"unique_only": True}, unique_codes=True, grant_days=7)
    provider = Recording()
    Desk(store, provider).run()
    mails = {mail.to: line(mail) for mail in provider.calls[0][1]}
    codes = {row.customer_id: row for row in rows(store, coupon_code)}
    assert set(codes) == {"a", "b"}
    for customer_id, row in codes.items():
        assert is_well_formed(row.code)
        assert (row.coupon_code, row.expires_at) == ("VIP500", NOON + timedelta(days=7))
        assert mails[f"{customer_id}@example.com"] == f"Take ₹500.00 off with {row.code}, until 17 June 2026, 12:00."
    named = {str(row.message_id): row.customer_id for row in rows(store, message)}
    assert {named[str(row.message_id)]: row.code for row in codes.values()} == {
        customer_id: row.code for customer_id, row in codes.items()
    }


def test_a_claim_that_is_rolled_back_takes_its_codes_with_it(store: Engine) -> None:
    prepare(store, [person("a")], {}, unique_codes=True)
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    with store.connect() as connection:
        sender = read_organization(connection, ORGANIZATION)
        (wanted,) = read_campaigns(connection, ORGANIZATION)
        assert sender is not None
        assert claim(connection, sender, wanted, sender_email="a@example.com", owner="m", now=NOON)
        assert connection.execute(select(coupon_code)).all()
        connection.rollback()
    assert rows(store, coupon_code) == []
    desk.run()
    assert len(rows(store, coupon_code)) == 1


@pytest.mark.parametrize("in_doubt", [True, False])
def test_a_mail_that_is_sent_again_carries_the_code_it_had(store: Engine, in_doubt: bool) -> None:
    prepare(store, [person("a"), person("b")], {}, unique_codes=True, grant_days=7)
    provider = Recording(Retry("500", in_doubt=in_doubt))
    desk = Desk(store, provider)
    desk.run()
    desk.wait(timedelta(minutes=5))
    desk.run()
    first, second = (sorted(line(mail).split()[4] for mail in mails) for _, mails in provider.calls)
    assert first == second == sorted(f"{row.code}," for row in rows(store, coupon_code))


@pytest.mark.parametrize(
    ("rules", "used"),
    [
        ({"limit_total": 1}, True),
        ({"limit_total": 2}, False),
        ({"state": "archived"}, True),
        ({"state": "paused"}, False),
        ({"valid_until": NOON}, True),
        ({"valid_until": NOON + timedelta(seconds=1)}, False),
    ],
)
def test_nobody_is_mailed_a_coupon_that_is_used_up(store: Engine, rules: dict[str, Any], used: bool) -> None:
    prepare(store, [person("a")], rules)
    use(store, "S-1")
    Desk(store, Recording()).run()
    assert states(store) == {"a": ("skipped", "coupon_used_up") if used else ("sent", None)}


def test_who_used_it_as_often_as_they_may_is_not_mailed_again(store: Engine) -> None:
    prepare(store, [person("a"), person("b"), person("c")], {"limit_per_customer": 2})
    for sale_id, customer_id, state in (
        ("S-1", "a", "redeemed"),
        ("S-2", "a", "redeemed"),
        ("S-3", "b", "redeemed"),
        ("S-4", "b", "given_back"),
        ("S-5", "b", "held"),
    ):
        use(store, sale_id, state, customer_id)
    desk = Desk(store, Recording())
    desk.plan()
    assert states(store)["a"] == ("skipped", "coupon_used_up")
    use(store, "S-6", "redeemed", "c")
    use(store, "S-7", "redeemed", "c")
    desk.run()  # at the moment of sending it is looked at again
    assert states(store) == {
        "a": ("skipped", "coupon_used_up"),
        "b": ("sent", None),
        "c": ("skipped", "coupon_used_up"),
    }


@pytest.mark.parametrize(
    ("rules", "content", "expected"),
    [
        ({"limit_total": 50}, {}, 50 * 50_000),
        ({}, {}, "unbounded"),  # anybody may hear of a shared code
        ({}, {"grant_days": 30}, "unbounded"),  # each as often as they like
        ({"limit_per_customer": 2}, {"grant_days": 30}, 3 * 2 * 50_000),
        ({"limit_per_customer": 2, "limit_total": 4}, {"grant_days": 30}, 4 * 50_000),
        ({"limit_per_customer": 1, "grants_only": True}, {}, 3 * 50_000),
        ({}, {"unique_codes": True}, 3 * 50_000),
        ({"type": "percentage", "value": 1_000}, {"unique_codes": True}, "unbounded"),
        ({"type": "percentage", "value": 1_000, "maximum_discount": 700}, {"unique_codes": True}, 2_100),
        ({"state": "archived"}, {"unique_codes": True}, 0),
    ],
)
def test_what_a_campaign_can_cost_is_known_before_it_is_sent(
    store: Engine, rules: dict[str, Any], content: dict[str, Any], expected: int | str
) -> None:
    prepare(store, [person("a")], rules, **content)
    with store.connect() as connection:
        (wanted,) = read_campaigns(connection, ORGANIZATION)
        assert campaign_coupons.exposure_of(connection, wanted, recipients=3, now=NOON) == expected
        without = replace(wanted, coupon_code=None)
        assert campaign_coupons.exposure_of(connection, without, recipients=3, now=NOON) == 0


@pytest.mark.parametrize(
    ("rules", "code", "field", "says"),
    [
        ({}, "NOSUCH", "coupon_code", "There is no coupon"),
        ({"state": "archived"}, "VIP500", "coupon_code", "archived"),
        ({"valid_until": NOON}, "VIP500", "coupon_code", "before the mails go"),
        ({"unique_only": True}, "VIP500", "unique_codes", "must be true"),
    ],
)
def test_a_coupon_that_cannot_count_is_no_campaigns(
    store: Engine, rules: dict[str, Any], code: str, field: str, says: str
) -> None:
    prepare(store, [person("a")], rules)
    with store.connect() as connection, pytest.raises(InvalidError, match=says) as refused:
        campaign_coupons.check(connection, ORGANIZATION, code, unique_codes=False, at=NOON)
    assert refused.value.field == field


def test_a_campaign_whose_coupon_is_gone_mails_nobody(store: Engine) -> None:
    prepare(store, [person("a")], {})
    with store.begin() as connection:
        connection.execute(campaign.update().values(coupon_code="NOSUCH"))
    Desk(store, Recording()).run()
    assert states(store) == {"a": ("skipped", "coupon_used_up")}

"""What comes back about mails: Resend's webhooks and the unsubscribe link."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import insert, select
from typer.testing import CliRunner

from services.ingest import commands
from services.ingest.feedback import STATES
from services.local import ports
from services.local.sandbox.webhook import Signer
from shared.database.tables import campaign, customer, mail_slot, message, suppression
from shared.domain.bounces import bounce_token
from shared.domain.links import sign_link
from shared.kafka import Topic
from tests.bounced import report
from tests.ingest import NOW, Service

MESSAGE = str(uuid.UUID(int=7))
NEWS = ("delivered", "opened", "bounced", "complained")


@pytest.fixture
def ingest(ingest: Service) -> Service:
    plan(ingest)
    return ingest


def plan(service: Service, message_id: str = MESSAGE, customer_id: str = "c-1", **columns: Any) -> None:
    """A sent mail to one customer."""
    with service.engine.begin() as connection:
        connection.execute(campaign.delete())
        connection.execute(
            insert(campaign).values(
                organization_id="demo", campaign_id="spring", name="Spring", type="newsletter", subject="Hi", body="Hi"
            )
        )
        connection.execute(
            insert(message).values(
                {
                    "organization_id": "demo",
                    "campaign_id": "spring",
                    "customer_id": customer_id,
                    "occasion": "send",
                    "message_id": uuid.UUID(message_id),
                    "state": "sent",
                    "email": "Asha@Example.com",
                    "sent_at": NOW - timedelta(hours=1),
                }
                | columns
            )
        )


def webhook(
    service: Service, kind: str, at: datetime = NOW, webhook_id: str = "msg_1", **changes: Any
) -> httpx.Response:
    data: dict[str, Any] = {
        "email_id": "re_1",
        "to": ["asha@example.com"],
        "tags": {"organization_id": "demo", "message_id": MESSAGE},
    }
    if kind == "bounced":
        data["bounce"] = {"type": "Permanent", "subType": "General", "message": "no such mailbox"}
    if kind == "clicked":
        data["click"] = {"link": "https://example.com/offer", "userAgent": "Mozilla/5.0 (X11)"}
    payload = {"type": f"email.{kind}", "created_at": at.isoformat(), "data": data | changes}
    return deliver(service, msgspec.json.encode(payload), webhook_id)


def deliver(service: Service, body: bytes, webhook_id: str = "msg_1") -> httpx.Response:
    signer = Signer(service.settings.webhook_secret.get_secret_value())
    # Resend's SDK looks at the machine's own clock.
    headers = signer.headers(webhook_id, body, datetime.now(UTC))
    return service.client.post("/webhooks/resend", content=body, headers=headers)


def stored(service: Service) -> Any:
    with service.engine.connect() as connection:
        return connection.execute(select(message).where(message.c.organization_id == "demo")).one()


def suppressed(service: Service) -> dict[str, str]:
    with service.engine.connect() as connection:
        wanted = select(suppression.c.email, suppression.c.reason).where(suppression.c.organization_id == "demo")
        return {row.email: row.reason for row in connection.execute(wanted)}


def published(service: Service, topic: Topic = Topic.MAIL) -> list[dict[str, Any]]:
    return service.told(topic)


def came_back(kind: str) -> float:
    """How many mails the metric counts in a state."""
    found = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return sum(each.value for each in found if each.name == "regulars_mails_total" and each.labels["state"] == kind)


def test_a_delivery_is_noted_and_published(ingest: Service) -> None:
    assert webhook(ingest, "delivered").json() == {"status": "recorded"}
    row = stored(ingest)
    assert (row.state, row.delivered_at, row.provider_id) == ("delivered", NOW, "re_1")
    assert suppressed(ingest) == {}
    (event,) = published(ingest)
    assert (event["type"], event["id"], event["source"]) == ("mail.delivered", "svix:msg_1", "/demo/mail")
    assert event["data"] == {
        "organization_id": "demo",
        "message_id": MESSAGE,
        "campaign_id": "spring",
        "customer_id": "c-1",
        "email_id": "re_1",
    }
    assert ingest.held(Topic.MAIL)[0][0] == b"demo/c-1"


@pytest.mark.parametrize("order", [NEWS, NEWS[::-1], ("bounced", "delivered", "complained", "opened")])
def test_whatever_the_order_and_repetition_the_result_is_the_same(ingest: Service, order: tuple[str, ...]) -> None:
    before = {kind: came_back(kind) for kind in NEWS}
    for kind in itertools.chain(order, order):
        at = NOW - timedelta(minutes=NEWS.index(kind))
        assert webhook(ingest, kind, at, f"msg_{kind}").status_code == 200
    row = stored(ingest)
    assert row.state == STATES[-1] == "complained"
    stamps = [row.delivered_at, row.opened_at, row.bounced_at, row.complained_at]
    assert stamps == [NOW - timedelta(minutes=number) for number in range(4)]
    assert {event["id"] for event in published(ingest)} == {f"svix:msg_{kind}" for kind in NEWS}
    # Each state that the mail came to is counted, once.
    places = [STATES.index(kind) if kind in STATES else 0 for kind in order]
    came_to = {kind for n, kind in enumerate(order) if places[n] and places[n] == max(places[: n + 1])}
    assert {kind: came_back(kind) - before[kind] for kind in NEWS} == {kind: kind in came_to for kind in NEWS}


def test_webhooks_may_overtake_the_mailer(ingest: Service) -> None:
    plan(ingest, state="claimed", sent_at=None)
    assert webhook(ingest, "delivered").status_code == 200
    assert (stored(ingest).state, stored(ingest).sent_at) == ("delivered", NOW)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("bounced", {}, {"asha@example.com": "bounce"}),
        ("bounced", {"bounce": {"type": "Transient", "subType": "MailboxFull", "message": "full"}}, {}),
        ("complained", {}, {"asha@example.com": "complaint"}),
        ("opened", {}, {}),
    ],
)
def test_hard_bounces_and_complaints_suppress_at_once(
    ingest: Service, kind: str, changes: dict[str, Any], expected: dict[str, str]
) -> None:
    assert webhook(ingest, kind, **changes).status_code == 200
    assert suppressed(ingest) == expected


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ({}, {"asha@example.com": "bounce"}),
        ({"bounced_at": None, "state": "delivered"}, {}),
        ({"email": "asha.old@example.com"}, {}),
        ({"sent_at": None, "bounced_at": None, "state": "skipped"}, {}),
    ],
)
def test_seven_mails_in_a_row_that_came_back_suppress_the_address(
    ingest: Service, between: dict[str, Any], expected: dict[str, str]
) -> None:
    with ingest.engine.begin() as connection:
        for days in range(1, 7):
            before = NOW - timedelta(days=days)
            kept = {
                "message_id": uuid.uuid4(),
                "occasion": f"day-{days}",
                "state": "bounced",
                "email": "asha@example.com",
            }
            kept |= {"organization_id": "demo", "campaign_id": "spring", "customer_id": "c-1"}
            kept |= {"sent_at": before, "bounced_at": before} | (between if days == 3 else {})
            connection.execute(insert(message).values(kept))
    webhook(ingest, "bounced", bounce={"type": "Transient", "subType": "MailboxFull", "message": "full"})
    assert suppressed(ingest) == expected


def test_a_machines_open_is_told_from_a_persons(ingest: Service) -> None:
    webhook(ingest, "opened", open={"userAgent": "Mozilla/5.0"})
    assert (stored(ingest).opened_at, stored(ingest).machine_opened_at) == (None, NOW)
    webhook(ingest, "opened", webhook_id="msg_2", open={"userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)"})
    assert stored(ingest).opened_at == NOW
    assert sorted(event["data"]["machine"] for event in published(ingest)) == [False, True]


def test_a_bad_signature_is_400_and_changes_nothing(ingest: Service) -> None:
    body = msgspec.json.encode({"type": "email.complained", "data": {"tags": {"message_id": MESSAGE}}})
    good = Signer(ingest.settings.webhook_secret.get_secret_value())
    bad = Signer("whsec_" + "QUJD" * 8)
    for headers in (
        {},
        bad.headers("msg_1", body, datetime.now(UTC)),
        good.headers("msg_1", body, datetime.now(UTC) - timedelta(hours=1)),
        good.headers("msg_1", body + b" ", datetime.now(UTC)),
    ):
        answer = ingest.client.post("/webhooks/resend", content=body, headers=headers)
        assert answer.status_code == 400
        assert "signature" in answer.json()["detail"]
    assert stored(ingest).state == "sent"


def test_what_is_no_mail_of_ours_is_200_so_that_resend_does_not_repeat_it(ingest: Service) -> None:
    unknown = {"tags": {"organization_id": "demo", "message_id": str(uuid.UUID(int=8))}}
    foreign = {"tags": {"organization_id": "other", "message_id": MESSAGE}}
    assert webhook(ingest, "delivered", **unknown).json() == {"status": "unknown mail"}
    assert webhook(ingest, "delivered", **foreign).json() == {"status": "unknown mail"}
    assert webhook(ingest, "delivered", tags={"message_id": "7"}).json() == {"status": "ignored"}
    assert webhook(ingest, "delivered", tags=None).json() == {"status": "ignored"}
    assert webhook(ingest, "delivery_delayed").json() == {"status": "ignored"}
    assert deliver(ingest, b"[1]").json() == {"status": "ignored"}
    assert stored(ingest).state == "sent"
    assert published(ingest) == []


def link(service: Service, message_id: str = MESSAGE, purpose: str = "unsubscribe", place: str = "u") -> str:
    return f"/{place}/" + sign_link(service.settings.secret.get_secret_value(), purpose, "demo", message_id)


def test_looking_at_the_page_changes_nothing(ingest: Service) -> None:
    page = ingest.client.get(link(ingest))
    assert page.status_code == 200
    assert "No more mail from Asha&#39;s Bakery?" in page.text
    assert page.text.count("<button") == 1
    assert 'name="viewport"' in page.text
    assert suppressed(ingest) == {}
    assert stored(ingest).unsubscribed_at is None
    assert published(ingest) == []


@pytest.mark.parametrize("body", [b"", b"List-Unsubscribe=One-Click"])
def test_the_button_and_one_click_unsubscribe_once_however_often(ingest: Service, body: bytes) -> None:
    for _ in range(2):
        page = ingest.client.post(
            link(ingest), content=body, headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert page.status_code == 200
        assert "You are unsubscribed." in page.text
    assert suppressed(ingest) == {"asha@example.com": "unsubscribe"}
    assert stored(ingest).unsubscribed_at == NOW
    assert stored(ingest).state == "sent"
    first, *others = published(ingest)
    assert all(event == first for event in others)
    assert first["type"] == "mail.unsubscribed"
    consent, *others = published(ingest, Topic.CUSTOMERS)
    assert all(event == consent for event in others)
    assert consent["type"] == "customer.consent_changed"
    assert consent["data"] == {
        "organization_id": "demo",
        "customer_id": "c-1",
        "marketing_consent": False,
        "where": "unsubscribe link",
        "wording": "Unsubscribe: stop all marketing mail from Asha's Bakery.",
    }


def test_links_that_are_not_ours_unsubscribe_nobody(ingest: Service) -> None:
    other_purpose = link(ingest, purpose="preferences")
    for path in ("/u/nonsense", link(ingest)[:-1], other_purpose, link(ingest, str(uuid.UUID(int=9)))[:-2]):
        answer = ingest.client.post(path)
        assert answer.status_code == 404
        assert "not complete" in answer.text
    assert suppressed(ingest) == {}


def test_an_erased_customer_is_not_made_known_again(ingest: Service) -> None:
    plan(ingest, customer_id=f"erased:{MESSAGE}", email=None)
    assert ingest.client.post(link(ingest)).status_code == 200
    assert published(ingest, Topic.CUSTOMERS) == []


def test_preferences_show_what_is_chosen_and_publish_what_is_saved(ingest: Service) -> None:
    path = link(ingest, purpose="preferences", place="p")
    page = ingest.client.get(path)
    assert page.status_code == 200
    assert 'value="daily" checked' in page.text
    assert published(ingest, Topic.CUSTOMERS) == []
    saved = ingest.client.post(path, data={"frequency": "monthly", "time": "evening"})
    assert saved.status_code == 200
    assert 'value="monthly" checked' in saved.text
    assert 'value="evening" checked' in saved.text
    (event,) = published(ingest, Topic.CUSTOMERS)
    assert event["type"] == "customer.upserted"
    assert event["data"] == {
        "organization_id": "demo",
        "customer_id": "c-1",
        "email_frequency": "monthly",
        "preferred_contact_time": "evening",
    }
    ingest.client.post(path, data={"frequency": "hourly", "time": ""})
    assert published(ingest, Topic.CUSTOMERS)[-1]["data"]["preferred_contact_time"] is None
    assert published(ingest, Topic.CUSTOMERS)[-1]["data"]["email_frequency"] == "daily"


def test_preferences_need_their_own_link_and_a_customer_who_was_not_erased(ingest: Service) -> None:
    path = link(ingest, purpose="preferences", place="p")
    for wrong in ("/p/nonsense", link(ingest, place="p"), link(ingest, str(uuid.UUID(int=9)), "preferences", "p")):
        assert ingest.client.get(wrong).status_code == 404
        assert ingest.client.post(wrong, data={"frequency": "never"}).status_code == 404
    plan(ingest, customer_id=f"erased:{MESSAGE}", email=None)
    assert ingest.client.post(path, data={"frequency": "never"}).status_code == 404
    assert published(ingest, Topic.CUSTOMERS) == []


def test_an_empty_form_changes_nothing(ingest: Service) -> None:
    assert ingest.client.post(link(ingest, purpose="preferences", place="p")).status_code == 200
    assert published(ingest, Topic.CUSTOMERS) == []


def consent(service: Service, *, given: bool, at: datetime) -> None:
    """What the segmenter would have written."""
    values = {"marketing_consent": given, "consent_at": at, "email": "asha@example.com"}
    with service.engine.begin() as connection:
        connection.execute(customer.delete())
        connection.execute(insert(customer).values(organization_id="demo", customer_id="c-1", **values))


def test_consent_is_withdrawn_and_given_again_with_its_evidence(ingest: Service) -> None:
    path = link(ingest, purpose="preferences", place="p")
    consent(ingest, given=True, at=NOW - timedelta(days=30))
    choice = {"frequency": "weekly", "time": ""}
    assert 'value="yes" checked' in ingest.client.get(path).text
    assert 'value="no" checked' in ingest.client.post(path, data=choice | {"consent": "no"}).text
    assert suppressed(ingest) == {"asha@example.com": "unsubscribe"}
    assert stored(ingest).unsubscribed_at == NOW
    assert [event["type"] for event in published(ingest)] == ["mail.unsubscribed"]
    assert 'value="no" checked' in ingest.client.get(path).text, "even before the ledger has counted it"
    ingest.client.post(path, data=choice | {"consent": "yes"})
    ingest.client.post(path, data=choice)
    told = [event["data"] for event in published(ingest, Topic.CUSTOMERS) if "marketing_consent" in event["data"]]
    assert [(data["marketing_consent"], data["where"], data["wording"]) for data in told] == [
        (False, "preference page", "No, Asha's Bakery may not send me any marketing mail."),
        (True, "preference page", "Yes, Asha's Bakery may send me offers and news by mail."),
    ]


def test_who_leaves_again_after_a_new_consent_is_out_again(ingest: Service) -> None:
    ingest.client.post(link(ingest))
    consent(ingest, given=True, at=NOW + timedelta(seconds=1))
    with ingest.engine.begin() as connection:
        connection.execute(message.update().values(unsubscribed_at=NOW - timedelta(hours=1)))
    consent(ingest, given=True, at=NOW - timedelta(minutes=1))
    ingest.client.post(link(ingest))
    told = {event["id"]: event["time"] for event in published(ingest, Topic.CUSTOMERS)}
    assert sorted(told) == [f"{MESSAGE}:consent", f"{MESSAGE}:consent:{NOW.isoformat()}"]


@pytest.mark.parametrize("order", [("bounced", "complained"), ("complained", "bounced")])
def test_the_graver_reason_stays_and_the_page_says_that_nothing_comes(ingest: Service, order: tuple[str, str]) -> None:
    ingest.client.post(link(ingest))
    for kind in order:
        webhook(ingest, kind, webhook_id=f"msg_{kind}")
    assert suppressed(ingest) == {"asha@example.com": "complaint"}
    page = ingest.client.post(link(ingest, purpose="preferences", place="p"), data={"consent": "yes"})
    assert "At present nothing reaches you: a mail to your address was reported as spam" in page.text


def bounced(service: Service, token: str, status: str = "5.1.1") -> str:
    raw = report(status, f"smtp; 550 {status} because", to=f"bounces+{token}@acme.example")
    answer = service.client.post("/webhooks/bounces", content=raw, headers={"Content-Type": "message/rfc822"})
    assert answer.status_code == 200
    return str(answer.json()["status"])


@pytest.mark.parametrize(("status", "expected"), [("5.1.1", {"asha@example.com": "bounce"}), ("4.4.1", {})])
def test_a_bounced_mail_is_recorded_with_its_reason_and_told_once(
    ingest: Service, status: str, expected: dict[str, str]
) -> None:
    token = bounce_token(ingest.settings.secret.get_secret_value(), "demo", MESSAGE)
    assert [bounced(ingest, token, status) for _ in range(2)] == ["recorded"] * 2
    row = stored(ingest)
    assert (row.state, row.detail) == ("bounced", f"{status} smtp; 550 {status} because")
    assert suppressed(ingest) == expected
    assert {(event["type"], event["id"]) for event in published(ingest)} == {("mail.bounced", f"{MESSAGE}:bounced")}


def test_a_bounce_that_nobody_signed_changes_nothing(ingest: Service) -> None:
    assert bounced(ingest, bounce_token("guessed", "demo", MESSAGE)) == "unknown mail"
    assert ingest.client.post("/webhooks/bounces", content=b"Subject: hi\n\nhi").json() == {"status": "ignored"}
    assert (stored(ingest).state, suppressed(ingest)) == ("sent", {})


def test_the_command_hands_a_bounce_in_and_tells_the_mail_server_when_to_come_again(
    ingest: Service, tmp_path: Path
) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(report(to=f"bounces+{bounce_token('guessed', 'demo', MESSAGE)}@acme.example"))
    run = CliRunner().invoke
    there = run(commands.app, [str(file), "--url", str(ingest.client.base_url)])
    assert (there.exit_code, there.output.splitlines()[-1]) == (0, "unknown mail")
    assert run(commands.app, [str(file), "--url", f"http://127.0.0.1:{ports.free()}"]).exit_code == 75


def test_an_address_on_resends_own_list_is_suppressed_here_too(ingest: Service) -> None:
    told = {"type": "OnAccountSuppressionList", "message": "It bounced before."}
    assert webhook(ingest, "suppressed", suppressed=told).json() == {"status": "recorded"}
    row = stored(ingest)
    assert (row.state, row.reason, row.detail) == ("failed", "provider_failed", "It bounced before.")
    assert (suppressed(ingest), published(ingest)) == ({"asha@example.com": "bounce"}, [])


def test_a_mail_that_resend_could_not_send_fails_with_the_reason_and_gives_the_day_back(ingest: Service) -> None:
    with ingest.engine.begin() as connection:
        slot = {"customer_id": "c-1", "last_on": NOW.date(), "previous_on": NOW.date() - timedelta(days=9)}
        mail = select(message.c.campaign_id, message.c.occasion)
        connection.execute(
            insert(mail_slot).values(organization_id="demo", **slot, **connection.execute(mail).one()._mapping)
        )
    for _ in range(2):
        answer = webhook(ingest, "failed", failed={"reason": "reached_daily_quota"})
        assert answer.json() == {"status": "recorded"}
    row = stored(ingest)
    assert (row.state, row.reason, row.detail) == ("failed", "provider_failed", "reached_daily_quota")
    assert (row.sent_at, suppressed(ingest), published(ingest)) == (None, {}, [])
    with ingest.engine.connect() as connection:
        assert connection.execute(select(mail_slot.c.last_on)).scalar_one() == NOW.date() - timedelta(days=9)
    webhook(ingest, "delivered", webhook_id="msg_2")  # it went after all
    assert (stored(ingest).state, stored(ingest).reason) == ("delivered", None)

import pytest
import resend

from shared.clock import utc_now
from tests.unit.sandbox_driver import ANN, SECRET, sandbox


@pytest.fixture
def inbox(tmp_path):
    with sandbox(tmp_path) as driver:
        yield driver


def to(*addresses, **more):
    return {**ANN, "to": list(addresses), **more}


def verified(request):
    """The event, as a receiver that uses Resend's SDK gets it."""
    headers = {name: request.headers[f"svix-{name}"] for name in ("id", "timestamp", "signature")}
    return resend.Webhooks.verify({"payload": request.content.decode(), "headers": headers, "webhook_secret": SECRET})


@pytest.fixture
def at_the_real_time(inbox):
    """`Webhooks.verify` compares with the machine's clock."""
    inbox.now = utc_now()


def test_messages_are_listed_newest_first_page_by_page(inbox):
    inbox.send_batch([to(f"c{number}@example.com") for number in range(5)])
    seen, cursor = [], ""
    while cursor is not None:
        page = inbox.get(f"/messages?limit=2&cursor={cursor}").json()
        assert page["count"] == 5
        assert len(page["items"]) <= 2
        seen += [item["to"][0] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"c{number}@example.com" for number in (4, 3, 2, 1, 0)]


def test_what_comes_in_is_followed_oldest_first_and_an_emptied_inbox_begins_nothing_anew(inbox):
    def follow(cursor):
        page = inbox.get(f"/messages?order=oldest&limit=2&cursor={cursor or ''}").json()
        return [item["to"][0] for item in page["items"]], page["next_cursor"]

    assert follow(None) == ([], None)
    inbox.send_batch([to(f"c{number}@example.com") for number in range(3)])
    first, cursor = follow(None)
    second, cursor = follow(cursor)
    assert (first, second) == (["c0@example.com", "c1@example.com"], ["c2@example.com"])
    assert follow(cursor) == ([], cursor)
    assert inbox.request("DELETE", "/messages").status_code == 200
    inbox.send(to("c3@example.com"))
    assert follow(cursor)[0] == ["c3@example.com"]
    for wrong in ("order=newer", "order=oldest&to=c1@example.com"):
        assert inbox.get(f"/messages?{wrong}").status_code == 422


def test_a_recipient_is_found_by_the_exact_address_in_any_case_and_role(inbox):
    inbox.send_batch(
        [
            to("Ann <Ann@Example.com>"),
            to("joann@example.com"),
            to("ann@example.com.au"),
            to("bea@example.com", cc="ann@example.com"),
        ]
    )
    found = inbox.get("/messages?to=ANN@example.com").json()
    assert found["count"] == 2
    assert [item["to"][0] for item in found["items"]] == ["bea@example.com", "Ann <Ann@Example.com>"]


def test_mail_that_comes_in_after_a_search_is_found_by_the_next_one(inbox):
    for count in (1, 2, 3):
        inbox.send(ANN)
        assert inbox.get("/messages?to=ann@example.com").json()["count"] == count


def test_a_part_of_an_address_finds_all_that_have_it_once_each(inbox):
    inbox.send_batch([to("ann@north.example", "bea@north.example"), to("chen@south.example")])
    found = inbox.get("/messages?search=North").json()
    assert (found["count"], len(found["items"])) == (1, 1)


@pytest.mark.parametrize("query", ["limit=0", "limit=many", "cursor=-1", "cursor=99999999999999999999", "limit=²"])
def test_a_bad_page_is_refused_with_its_parameter(inbox, query):
    answer = inbox.get(f"/messages?{query}")
    assert answer.status_code == 422
    assert f"`{query.partition('=')[0]}`" in answer.json()["message"]


def test_one_message_is_shown_with_all_that_was_handed_in(inbox):
    mail = to("ann@example.com", reply_to="shop@bakery.example", tags=[{"name": "campaign", "value": "c-1"}], text="Hi")
    identifier = inbox.send({**mail, "attachments": [{"filename": "a.pdf", "content": "aGk="}]}).json()["id"]
    shown = inbox.get(f"/messages/{identifier}").json()
    assert (shown["reply_to"], shown["tags"], shown["text"]) == (["shop@bakery.example"], {"campaign": "c-1"}, "Hi")
    assert shown["attachments"] == [{"filename": "a.pdf", "content_type": None}]
    assert (shown["last_event"], shown["events"]) == ("email.sent", [])


@pytest.mark.parametrize("path", ["/messages/none", "/messages/none/view", "/elsewhere"])
def test_what_is_not_there_is_404(inbox, path):
    assert inbox.get(path).status_code == 404


def test_an_emptied_inbox_is_empty_and_takes_new_mail(inbox):
    inbox.send_batch([ANN, ANN])
    inbox.get("/messages?to=ann@example.com")
    assert inbox.request("DELETE", "/messages").json() == {"deleted": 2}
    assert inbox.get("/messages").json() == {"count": 0, "items": [], "next_cursor": None}
    inbox.send(ANN)
    assert inbox.get("/messages?to=ann@example.com").json()["count"] == 1


@pytest.mark.usefixtures("at_the_real_time")
@pytest.mark.parametrize("kind", ["email.delivered", "email.opened", "email.complained"])
def test_an_event_is_a_webhook_that_resends_sdk_verifies(inbox, kind):
    mail = to("ann@example.com", tags=[{"name": "campaign", "value": "c-1"}], headers={"X-Shop": "s-1"})
    identifier = inbox.send(mail).json()["id"]
    answer = inbox.request("POST", f"/messages/{identifier}/events", {"type": kind})
    event = verified(inbox.received[0])
    assert event["type"] == kind
    assert event["data"]["email_id"] == identifier
    assert (event["data"]["to"], event["data"]["from"]) == (["ann@example.com"], ANN["from"])
    assert (event["data"]["subject"], event["data"]["tags"]) == ("Bread", {"campaign": "c-1"})
    assert event["data"]["headers"] == [{"name": "X-Shop", "value": "s-1"}]
    assert answer.json() == {
        "webhook_id": inbox.received[0].headers["svix-id"],
        "type": kind,
        "status": 204,
        "accepted": True,
        "body": "noted",
    }


@pytest.mark.usefixtures("at_the_real_time")
def test_a_forged_webhook_is_not_verified(inbox):
    identifier = inbox.send(ANN).json()["id"]
    inbox.request("POST", f"/messages/{identifier}/events", {"type": "email.opened"})
    (request,) = inbox.received
    request.headers["svix-id"] = "msg_other"
    with pytest.raises(ValueError, match="signature"):
        verified(request)


@pytest.mark.usefixtures("at_the_real_time")
def test_a_click_names_the_link_and_the_browser(inbox):
    identifier = inbox.send({**ANN, "html": '<a href="https://shop.example/offer">x</a>'}).json()["id"]
    events = f"/messages/{identifier}/events"
    inbox.request("POST", events, {"type": "email.clicked"})
    inbox.request("POST", events, {"type": "email.clicked", "link": "https://shop.example/b", "user_agent": "Bot/1"})
    plain, given = (verified(request)["data"]["click"] for request in inbox.received)
    assert plain["link"] == "https://shop.example/offer"
    assert (given["link"], given["userAgent"]) == ("https://shop.example/b", "Bot/1")
    assert set(given) == {"ipAddress", "link", "timestamp", "userAgent"}


@pytest.mark.usefixtures("at_the_real_time")
def test_a_bounce_names_its_type(inbox):
    identifier = inbox.send(ANN).json()["id"]
    inbox.request("POST", f"/messages/{identifier}/events", {"type": "email.bounced", "bounce_type": "Transient"})
    bounce = verified(inbox.received[0])["data"]["bounce"]
    assert bounce["type"] == "Transient"
    assert set(bounce) == {"type", "subType", "message"}


def test_a_webhook_can_be_repeated_under_its_id(inbox):
    identifier = inbox.send(ANN).json()["id"]
    for _ in range(2):
        inbox.request("POST", f"/messages/{identifier}/events", {"type": "email.opened", "webhook_id": "msg_1"})
    assert [request.headers["svix-id"] for request in inbox.received] == ["msg_1", "msg_1"]


def test_the_receivers_refusal_is_told_and_remembered(inbox):
    identifier = inbox.send(ANN).json()["id"]
    inbox.receiver_answers = 400
    answer = inbox.request("POST", f"/messages/{identifier}/events", {"type": "email.opened"}).json()
    assert (answer["status"], answer["accepted"]) == (400, False)
    (event,) = inbox.get(f"/messages/{identifier}").json()["events"]
    assert (event["type"], event["answered"]) == ("email.opened", 400)


@pytest.mark.parametrize("order", [{"type": "email.eaten"}, {"type": "email.bounced", "bounce_type": "Soft"}, {}])
def test_an_unknown_event_is_refused_and_nothing_is_sent(inbox, order):
    identifier = inbox.send(ANN).json()["id"]
    assert inbox.request("POST", f"/messages/{identifier}/events", order).status_code == 422
    assert inbox.received == []


def test_another_sites_page_may_not_change_anything(inbox):
    inbox.send(ANN)
    for origin in ("https://evil.example", "null"):
        assert inbox.request("DELETE", "/messages", headers={"origin": origin}).status_code == 403
    assert len(inbox.messages) == 1
    assert inbox.request("DELETE", "/messages", headers={"origin": "http://sandbox.test"}).status_code == 200


def test_it_says_that_it_is_alive_and_ready(inbox):
    assert inbox.get("/healthz").status_code == inbox.get("/readyz").status_code == 200

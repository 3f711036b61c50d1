import json

import pytest

from services.local.sandbox.webhook import Order
from tests.unit.sandbox_driver import ANN, sandbox


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("services.local.sandbox.reports._FIRST_PAUSE", 0.01)


def reported(inbox):
    return [json.loads(request.content)["data"]["email_id"] for request in inbox.received]


def identifiers(answer):
    return [entry["id"] for entry in answer.json()["data"]]


def test_no_delivery_is_reported_unless_asked_for(tmp_path):
    with sandbox(tmp_path) as inbox:
        inbox.send(ANN)
    assert inbox.received == []


def test_every_accepted_mail_is_reported_as_delivered(tmp_path):
    with sandbox(tmp_path, auto_deliver=True) as inbox:
        accepted = [identifier for _ in range(3) for identifier in identifiers(inbox.send_batch([ANN] * 50))]
        inbox.eventually(lambda: len(inbox.received) >= 150)
        assert sorted(reported(inbox)) == sorted(accepted)
        inbox.eventually(lambda: inbox.messages[0]["last_event"] == "email.delivered")


def test_a_receiver_that_is_away_is_tried_again_under_the_same_id(tmp_path):
    with sandbox(tmp_path, auto_deliver=True) as inbox:
        inbox.receiver_answers = 503
        inbox.send(ANN)
        inbox.eventually(lambda: len(inbox.received) >= 3)
        inbox.receiver_answers = 204
        inbox.eventually(lambda: inbox.messages[0]["last_event"] == "email.delivered")
        assert len({request.headers["svix-id"] for request in inbox.received}) == 1


def test_a_fate_of_its_own_is_reported_instead(tmp_path):
    def fate(message):
        return Order(type="email.bounced" if "gone" in message.mail.to[0] else "email.delivered")

    with sandbox(tmp_path, auto_deliver=True, fate=fate) as inbox:
        inbox.send_batch([ANN, {**ANN, "to": ["gone@example.com"]}])
        inbox.eventually(lambda: len(inbox.received) == 2)
        told = {json.loads(request.content)["data"]["to"][0]: request for request in inbox.received}
        bounced = told["gone@example.com"]
        assert json.loads(bounced.content)["type"] == "email.bounced"
        assert bounced.headers["svix-id"].startswith("msg_bounced_")
        assert json.loads(told["ann@example.com"].content)["type"] == "email.delivered"


def test_what_the_receiver_refuses_for_good_does_not_hold_up_the_rest(tmp_path):
    with sandbox(tmp_path, auto_deliver=True) as inbox:
        inbox.receiver_answers = 400
        first = inbox.send(ANN).json()["id"]
        inbox.eventually(lambda: inbox.messages[0]["last_event"] == "email.delivered")
        inbox.receiver_answers = 204
        second = inbox.send(ANN).json()["id"]
        inbox.eventually(lambda: len(inbox.received) == 2)
        assert reported(inbox) == [first, second]
        assert inbox.get(f"/messages/{first}").json()["events"][0]["answered"] == 400


def test_a_restart_goes_on_where_it_stopped_and_repeats_nothing(tmp_path):
    with sandbox(tmp_path) as inbox:
        inbox.send(ANN)
    with sandbox(tmp_path, auto_deliver=True) as inbox:
        first = inbox.send(ANN).json()["id"]
        inbox.eventually(lambda: inbox.messages[0]["last_event"] == "email.delivered")
        assert reported(inbox) == [first]
        inbox.receiver_answers = 503
        second = inbox.send(ANN).json()["id"]
        inbox.eventually(lambda: second in reported(inbox))
    with sandbox(tmp_path, auto_deliver=True) as inbox:
        inbox.eventually(lambda: inbox.messages[0]["last_event"] == "email.delivered")
        assert reported(inbox) == [second]

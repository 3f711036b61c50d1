import http.client
import json
import signal
import socket
import subprocess
import sys

import pytest
import resend
from resend.exceptions import ApplicationError, MissingApiKeyError, RateLimitError, ResendError, ValidationError

from tests.integration.sandbox_process import PROGRAM, SECRET, receiver, sandbox
from tests.stack import eventually

ANN = {"from": "Bakery <hello@bakery.example>", "to": ["ann@example.com"], "subject": "Bread", "html": "<p>Fresh</p>"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with receiver() as hook, sandbox(tmp_path_factory.mktemp("sandbox"), hook.url) as running:
        running.received = hook.received
        yield running


@pytest.fixture
def inbox(shared, monkeypatch):
    shared.call("DELETE", "/messages")
    shared.call("DELETE", "/faults")
    shared.received.clear()
    monkeypatch.setattr(resend, "api_url", shared.url)
    monkeypatch.setattr(resend, "api_key", "re_any")
    return shared


def count(inbox):
    return inbox.call("GET", "/messages?limit=1")["count"]


def raw_post(inbox, timeout=10.0, key=None):
    """A client that sees the bare connection."""
    body = json.dumps(ANN).encode()
    head = (
        f"POST /emails HTTP/1.1\r\nHost: 127.0.0.1:{inbox.port}\r\nAuthorization: Bearer re_any\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    head += f"Idempotency-Key: {key}\r\n" if key else ""
    connection = socket.create_connection(("127.0.0.1", inbox.port), timeout)
    connection.sendall(head.encode() + b"\r\n" + body)
    return connection


def test_resends_sdk_sends_a_mail(inbox):
    answer = resend.Emails.send(ANN)
    assert inbox.call("GET", f"/messages/{answer['id']}")["subject"] == "Bread"


def test_resends_sdk_sends_a_batch_once_for_a_key(inbox):
    batch = [{**ANN, "to": f"c{number}@example.com"} for number in range(100)]
    first = resend.Batch.send(batch, {"idempotency_key": "sdk-batch"})
    again = resend.Batch.send(batch, {"idempotency_key": "sdk-batch"})
    assert [entry["id"] for entry in first["data"]] == [entry["id"] for entry in again["data"]]
    assert count(inbox) == 100
    with pytest.raises(ResendError) as refused:
        resend.Batch.send(batch[:-1], {"idempotency_key": "sdk-batch"})
    assert (refused.value.code, refused.value.error_type) == (409, "invalid_idempotent_request")


def test_resends_sdk_sends_a_permissive_batch(inbox):
    answer = resend.Batch.send([ANN, {**ANN, "to": "nobody"}], {"batch_validation": "permissive"})
    assert len(answer["data"]) == 1
    assert answer["errors"][0]["index"] == 1


def test_resends_sdk_raises_its_own_errors(inbox, monkeypatch):
    with pytest.raises(ValidationError, match="Invalid `to` field"):
        resend.Emails.send({**ANN, "to": "nobody"})
    inbox.call("POST", "/faults", {"kind": "500"})
    with pytest.raises(ApplicationError):
        resend.Emails.send(ANN)
    inbox.call("POST", "/faults", {"kind": "429"})
    with pytest.raises(RateLimitError) as limited:
        resend.Emails.send(ANN)
    assert limited.value.headers["retry-after"] == "1"
    monkeypatch.setattr(resend, "api_key", "")
    with pytest.raises(MissingApiKeyError):
        resend.Emails.send(ANN)
    assert count(inbox) == 0


def test_a_dropped_answer_is_settled_by_the_same_key(inbox):
    inbox.call("POST", "/faults", {"kind": "drop_after_accept"})
    with pytest.raises(ResendError) as lost:
        resend.Emails.send(ANN, {"idempotency_key": "dropped"})
    assert lost.value.error_type == "HttpClientError"
    assert count(inbox) == 1
    answer = resend.Emails.send(ANN, {"idempotency_key": "dropped"})
    assert inbox.call("GET", "/messages")["items"][0]["id"] == answer["id"]
    assert count(inbox) == 1


def test_a_dropped_answer_is_a_cut_connection_without_a_byte(inbox):
    inbox.call("POST", "/faults", {"kind": "drop_after_accept"})
    with raw_post(inbox) as connection:
        try:
            heard = connection.recv(100)
        except ConnectionResetError:
            heard = b""
    assert heard == b""
    assert count(inbox) == 1


def test_a_timeout_keeps_nothing_and_says_nothing(inbox):
    inbox.call("POST", "/faults", {"kind": "timeout"})
    with raw_post(inbox, timeout=0.5) as connection, pytest.raises(TimeoutError):
        connection.recv(100)
    assert count(inbox) == 0
    assert resend.Emails.send(ANN, {"idempotency_key": "after-timeout"})["id"]


def test_a_webhook_is_verified_by_resends_sdk(inbox):
    identifier = resend.Emails.send({**ANN, "tags": [{"name": "campaign", "value": "c-1"}]})["id"]
    answer = inbox.call("POST", f"/messages/{identifier}/events", {"type": "email.bounced"})
    assert (answer["status"], answer["accepted"], answer["body"]) == (202, True, "taken")
    headers, body = inbox.received[0]
    given = {name: headers[f"svix-{name}"] for name in ("id", "timestamp", "signature")}
    event = resend.Webhooks.verify({"payload": body, "headers": given, "webhook_secret": SECRET})
    assert event["data"]["email_id"] == identifier
    assert event["data"]["tags"] == {"campaign": "c-1"}
    assert event["data"]["bounce"]["type"] == "Permanent"


def test_a_receiver_that_is_away_is_told_with_its_address(tmp_path):
    with sandbox(tmp_path) as running:
        request = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        identifier = running.call("POST", "/emails", ANN, authorization="Bearer re_any")["id"]
        request.request("POST", f"/messages/{identifier}/events", '{"type": "email.opened"}')
        answer = request.getresponse()
        assert answer.status == 502
        assert "http://127.0.0.1:9/" in json.load(answer)["message"]
        request.close()


def test_what_was_answered_outlives_kill_9(tmp_path):
    with sandbox(tmp_path) as running:
        batch = [{**ANN, "to": f"c{number}@example.com"} for number in range(100)]
        headers = {"authorization": "Bearer re_any", "idempotency-key": "k-1"}
        first = running.call("POST", "/emails/batch", batch, **headers)
        running.kill()
        running.start()
        assert running.call("GET", "/messages?limit=1")["count"] == 100
        assert running.call("POST", "/emails/batch", batch, **headers) == first
        assert running.call("GET", "/messages?to=c42@example.com")["count"] == 1


def test_kill_9_in_mid_send_never_splits_a_batch_from_its_key(tmp_path):
    with sandbox(tmp_path) as running:
        batches = [[{**ANN, "to": f"b{number}-{one}@example.com"} for one in range(100)] for number in range(30)]
        answered = {}
        for number, batch in enumerate(batches):
            if number == 15:
                # Sent, and killed before or after the commit: which one, nobody knows.
                lost = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
                headers = {"authorization": "Bearer re_any", "idempotency-key": f"k-{number}"}
                lost.request("POST", "/emails/batch", json.dumps(batch), headers)
                running.kill()
                lost.close()
                running.start()
            headers = {"authorization": "Bearer re_any", "idempotency-key": f"k-{number}"}
            answered[number] = running.call("POST", "/emails/batch", batch, **headers)
        page = running.call("GET", "/messages?limit=1000")
        assert page["count"] == 3_000
        assert running.call("GET", "/messages?to=b15-99@example.com")["count"] == 1
        for number in (0, 15):
            (found,) = running.call("GET", f"/messages?to=b{number}-0@example.com")["items"]
            assert found["id"] == answered[number]["data"][0]["id"]


def test_deliveries_are_reported_by_themselves_when_asked_for(tmp_path):
    with receiver() as hook, sandbox(tmp_path, hook.url, auto_deliver=True) as running:
        headers = {"authorization": "Bearer re_any"}
        accepted = running.call("POST", "/emails/batch", [ANN] * 100, **headers)
        eventually(lambda: len(hook.received) == 100)
        reported = {json.loads(body)["data"]["email_id"] for _, body in hook.received}
        assert reported == {entry["id"] for entry in accepted["data"]}


def test_it_ends_in_good_order_when_asked_to_even_with_a_request_held(tmp_path, capfd):
    with sandbox(tmp_path) as running:
        running.call("POST", "/faults", {"kind": "timeout"})
        with raw_post(running):
            eventually(lambda: running.call("GET", "/faults")["pending"] == [])
            assert running.stop() == -signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_said_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-c", PROGRAM, str(port), str(tmp_path), "http://127.0.0.1:9/", SECRET, "no"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert f"SetupError: The sandbox cannot listen on 127.0.0.1:{port}" in ended.stderr.splitlines()[-1]

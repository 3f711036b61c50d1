import pytest

from tests.unit.sandbox_driver import ANN, sandbox


@pytest.fixture
def inbox(tmp_path):
    with sandbox(tmp_path) as driver:
        yield driver


def to(address):
    return {**ANN, "to": address}


def test_a_mail_is_answered_with_its_id_and_kept(inbox):
    answer = inbox.send(ANN, key="k-1")
    (kept,) = inbox.messages
    assert (answer.status_code, answer.json()) == (200, {"id": kept["id"]})
    assert kept["to"] == ["ann@example.com"]
    assert (kept["from"], kept["subject"], kept["html"]) == (ANN["from"], "Bread", "<p>Fresh</p>")
    assert (kept["text"], kept["headers"], kept["idempotency_key"]) == (None, {}, "k-1")
    assert kept["received_at"] == "2026-11-23T08:30:00.000Z"


def test_a_batch_is_answered_with_its_ids_in_order(inbox):
    answer = inbox.send_batch([to(f"c{number}@example.com") for number in range(100)])
    kept = {message["id"]: message["to"][0] for message in inbox.messages}
    assert [kept[entry["id"]] for entry in answer.json()["data"]] == [f"c{number}@example.com" for number in range(100)]


def test_the_same_key_and_payload_give_the_first_answer_and_keep_nothing_twice(inbox):
    first = inbox.send_batch([ANN, ANN], key="k-1")
    again = inbox.send_batch([ANN, ANN], key="k-1")
    assert again.json() == first.json()
    assert len(inbox.messages) == 2


def test_the_order_of_keys_in_the_payload_does_not_make_it_another_one(inbox):
    one = {**ANN, "headers": {"X-A": "1", "X-B": "2"}}
    other = {**dict(reversed(ANN.items())), "headers": {"X-B": "2", "X-A": "1"}}
    assert inbox.send(one, key="k-1").json() == inbox.send(other, key="k-1").json()


@pytest.mark.parametrize("other", [to("bea@example.com"), {**ANN, "subject": "Cake"}])
def test_the_same_key_with_another_payload_is_refused(inbox, other):
    inbox.send(ANN, key="k-1")
    answer = inbox.send(other, key="k-1")
    assert (answer.status_code, answer.json()["name"]) == (409, "invalid_idempotent_request")
    assert len(inbox.messages) == 1


def test_a_batch_of_one_is_another_payload_than_the_mail_alone(inbox):
    inbox.send(ANN, key="k-1")
    assert inbox.send_batch([ANN], key="k-1").json()["name"] == "invalid_idempotent_request"


def test_a_key_whose_first_request_is_in_progress_is_refused_and_then_answered(inbox):
    answers = inbox.together(ANN, ANN, key="k-1")
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (refused,) = (answer.json() for answer in answers if answer.status_code == 409)
    (first,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert refused["name"] == "concurrent_idempotent_requests"
    assert inbox.send(ANN, key="k-1").json() == first
    assert len(inbox.messages) == 1


def test_a_key_lives_for_24_hours(inbox):
    first = inbox.send(ANN, key="k-1").json()
    inbox.pass_time(hours=23, minutes=59)
    assert inbox.send(ANN, key="k-1").json() == first
    inbox.pass_time(minutes=1)
    assert inbox.send(ANN, key="k-1").json() != first
    assert len(inbox.messages) == 2


def test_a_key_outlives_a_restart_and_an_emptied_inbox(tmp_path):
    with sandbox(tmp_path) as before:
        first = before.send(ANN, key="k-1").json()
        assert before.request("DELETE", "/messages").json() == {"deleted": 1}
    with sandbox(tmp_path) as after:
        assert after.send(ANN, key="k-1").json() == first
        assert after.messages == []


def test_a_refused_mail_does_not_use_up_its_key(inbox):
    assert inbox.send({**ANN, "to": "nobody"}, key="k-1").status_code == 422
    assert inbox.send(ANN, key="k-1").status_code == 200


@pytest.mark.parametrize("key", ["", "k" * 257])
def test_a_key_of_a_wrong_length_is_refused(inbox, key):
    answer = inbox.send(ANN, key=key)
    assert (answer.status_code, answer.json()["name"]) == (400, "invalid_idempotency_key")


def test_one_bad_mail_refuses_the_whole_batch(inbox):
    answer = inbox.send_batch([ANN, {**ANN, "to": "nobody"}, ANN])
    assert answer.status_code == 422
    assert answer.json()["statusCode"] == 422
    assert answer.json()["name"] == "validation_error"
    assert answer.json()["message"].endswith("(email 1 of the batch)")
    assert inbox.messages == []


def test_a_permissive_batch_keeps_the_good_ones_and_tells_of_the_bad(inbox):
    batch = [ANN, {**ANN, "to": "nobody"}, to("chen@example.com")]
    headers = {"x-batch-validation": "permissive"}
    answer = inbox.send_batch(batch, key="k-1", **headers)
    assert [entry["index"] for entry in answer.json()["errors"]] == [1]
    assert {message["id"] for message in inbox.messages} == {entry["id"] for entry in answer.json()["data"]}
    assert inbox.send_batch(batch, key="k-1", **headers).json() == answer.json()
    assert len(inbox.messages) == 2


@pytest.mark.parametrize("batch", [[], [ANN] * 101, ANN, "mails"])
def test_a_batch_is_a_list_of_1_to_100(inbox, batch):
    assert inbox.send_batch(batch).status_code == 422
    assert inbox.messages == []


@pytest.mark.parametrize("authorization", ["", "Bearer ", "re_any", "Basic cmU6"])
def test_without_an_api_key_nothing_is_taken(inbox, authorization):
    answer = inbox.send(ANN, authorization=authorization)
    assert (answer.status_code, answer.json()["name"]) == (401, "missing_api_key")
    assert inbox.messages == []


def test_more_requests_than_the_limit_wait_for_the_next_second(tmp_path):
    with sandbox(tmp_path, requests_per_second=2) as inbox:
        assert [inbox.send(ANN).headers["ratelimit-remaining"] for _ in range(2)] == ["1", "0"]
        answer = inbox.send(ANN)
        assert (answer.status_code, answer.json()["name"]) == (429, "rate_limit_exceeded")
        assert (answer.headers["retry-after"], answer.headers["ratelimit-limit"]) == ("1", "2")
        inbox.pass_time(seconds=1)
        assert inbox.send(ANN).status_code == 200


def test_a_body_past_the_limit_is_refused(inbox):
    answer = inbox.send({**ANN, "text": "x" * 40_000_001})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("kind", "status", "name"), [("429", 429, "rate_limit_exceeded"), ("500", 500, "application_error")]
)
def test_ordered_faults_strike_the_next_requests_and_keep_nothing(inbox, kind, status, name):
    ordered = inbox.request("POST", "/faults", {"kind": kind, "next": 2})
    assert ordered.json() == inbox.get("/faults").json() == {"pending": [{"kind": kind, "next": 2}]}
    for answer in (inbox.send(ANN), inbox.send_batch([ANN])):
        assert (answer.status_code, answer.json()["name"]) == (status, name)
        assert ("retry-after" in answer.headers) == (status == 429)
    assert inbox.messages == []
    assert inbox.send(ANN).status_code == 200


def test_faults_are_used_up_in_the_order_given_and_can_be_cleared(inbox):
    for kind in ("500", "429", "500"):
        inbox.request("POST", "/faults", {"kind": kind})
    assert [inbox.send(ANN).status_code for _ in range(2)] == [500, 429]
    assert inbox.request("DELETE", "/faults").status_code == 204
    assert inbox.send(ANN).status_code == 200


@pytest.mark.parametrize("order", [{"kind": "rain"}, {"kind": "500", "next": 0}, {"kind": "500", "nxt": 1}, {}, b"{"])
def test_an_order_for_an_unknown_fault_is_refused(inbox, order):
    assert inbox.request("POST", "/faults", order).status_code in {400, 422}
    assert inbox.get("/faults").json() == {"pending": []}

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from sqlalchemy import update
from structlog.testing import capture_logs

from shared.database.tables import organization
from shared.kafka import Topic
from shared.keys import revoke_key
from shared.settings import IngestSettings
from tests.ingest import Service, ndjson, organize, running, sale
from tests.stack import eventually, new_database

Settings = Callable[..., Any]
raw = msgspec.json.encode


def reasons(answer: Any) -> list[str]:
    return [rejection["reason"] for rejection in answer.json()["rejected"]]


def assert_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def test_one_event_is_in_kafka_byte_for_byte_when_202_comes(ingest: Service) -> None:
    body = b' {"specversion":"1.0",  ' + raw(sale(1))[21:]
    answer = ingest.publish(body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    assert ingest.held() == [(b"demo/c-1", body)]


def test_an_array_and_lines_are_batches(ingest: Service) -> None:
    events = [raw(sale(number)) for number in range(6)]
    assert ingest.publish(b"[" + b" ,\n ".join(events[:3]) + b"]").json()["accepted"] == 3
    assert ingest.publish(ndjson(events[3:]), **{"content-type": "application/x-ndjson; charset=utf-8"}).json() == {
        "accepted": 3,
        "rejected": [],
    }
    assert sorted(value for _, value in ingest.held(Topic.SALES)) == sorted(events)


def test_each_type_goes_to_its_topic_and_a_sale_of_nobody_is_keyed_by_the_sale(ingest: Service) -> None:
    nobody = sale(1)
    del nobody["data"]["customer_id"]
    redeemed = sale(2) | {"type": "coupon.redeemed"}
    redeemed["data"] = {"organization_id": "demo", "coupon_code": "X10", "sale_id": "R-2", "discount": 5}
    upserted = sale(3) | {"type": "customer.upserted"}
    upserted["data"] = {"organization_id": "demo", "customer_id": "c-9", "name": "Ravi"}
    assert ingest.publish([nobody, redeemed, upserted]).json()["accepted"] == 3
    assert [key for key, _ in ingest.held(Topic.SALES)] == [b"demo/R-1"]
    assert [key for key, _ in ingest.held(Topic.COUPONS)] == [b"demo/R-2"]
    assert [key for key, _ in ingest.held(Topic.CUSTOMERS)] == [b"demo/c-9"]


def test_good_ones_of_a_batch_are_kept_and_bad_ones_named(ingest: Service) -> None:
    batch = [sale(0), sale(1, total=1), sale(2, "other"), sale(3, currency="EUR"), sale(4) | {"type": "mail.sent"}]
    with capture_logs() as told:
        answer = ingest.publish([*batch, 7, sale(6)])
    assert told[0]["event_ids"] == ["e-1", "e-2", "e-3", "e-4", None]
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [(each["index"], each["id"]) for each in answer.json()["rejected"]] == [
        (1, "e-1"),
        (2, "e-2"),
        (3, "e-3"),
        (4, "e-4"),
        (5, None),
    ]
    total, foreign, currency, kind, number = reasons(answer)
    assert total.startswith("data.total: must be the lines' totals less the discount, 9000; got 1")
    assert foreign.startswith('data.organization_id: must be "demo"')
    assert currency.startswith('data.currency: must be "INR"')
    assert kind.startswith("type: must be one of sale.completed")
    assert number.startswith("must be one JSON object")
    assert sorted(value for _, value in ingest.held()) == sorted([raw(sale(0)), raw(sale(6))])


def test_none_good_is_400_with_the_same_list(ingest: Service) -> None:
    answer = ingest.publish([sale(0, total=-1), sale(1, total=1.5)])
    assert_problem(answer, 400)
    assert [each["index"] for each in answer.json()["rejected"]] == [0, 1]
    assert reasons(answer)[0].startswith("data.total: ")
    assert ingest.held() == []


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"", "application/json", "at least one event"),
        (b"[{]", "application/json", "JSON array"),
        (b"{", "application/json", "must be JSON"),
        (b"{}\n{}", "application/json", "application/x-ndjson"),
        (b"\xff\xfe", "application/json", "must be UTF-8"),
        (b"\n\n", "application/x-ndjson", "at least one event"),
        (b"[" * 100_000, "application/json", "JSON array"),
        (raw(sale(1) | {"id": "x" * 10_000}), "application/json", "id: must be"),
        (raw(sale(1, customer_id="a\0b")), "application/json", "data.customer_id"),
        (raw(sale(1) | {"time": "2026-11-24T10:15:00Z"}), "application/json", "time: must be at most 24 hours ahead"),
    ],
)
def test_rubbish_is_400_and_told_what_is_wrong(ingest_once: Service, body: bytes, kind: str, told: str) -> None:
    answer = ingest_once.publish(body, **{"content-type": kind})
    assert_problem(answer, 400)
    assert told in answer.json()["detail"]
    assert "rejected" in answer.json()


def test_more_than_a_thousand_events_are_413(ingest: Service) -> None:
    assert_problem(ingest.publish([sale(number) for number in range(1001)]), 413)
    assert ingest.publish([sale(number) for number in range(1000)]).json()["accepted"] == 1000


def test_a_large_body_is_413_whether_it_is_announced_or_streams_in(settings: Settings) -> None:
    with running(settings(IngestSettings, max_body_bytes=10_000)) as ingest:
        assert_problem(ingest.publish(b"x" * 10_001), 413)

        def endless() -> Iterator[bytes]:
            for _ in range(2_000):
                yield b"x" * 1_000

        answer = ingest.client.post(
            "/v1/events", content=endless(), headers={"authorization": f"Bearer {ingest.token}"}
        )
        assert_problem(answer, 413)


def test_compressed_bodies_are_415(ingest_once: Service) -> None:
    assert_problem(ingest_once.publish(sale(1), **{"content-encoding": "gzip"}), 415)


def test_without_a_good_key_it_is_401_and_says_how_to_give_one(ingest_once: Service) -> None:
    answer = ingest_once.client.post("/v1/events", json=sale(1))
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    other_secret = ingest_once.token[:-1] + ("A" if ingest_once.token[-1] != "A" else "B")
    for wrong in ("nonsense", "rg.demo.x.y", other_secret, ingest_once.token + "é", "x" * 9_000):
        answer = ingest_once.client.post(
            "/v1/events", json=sale(1), headers={"authorization": f"Bearer {wrong}".encode("latin-1")}
        )
        assert_problem(answer, 401)


def test_a_revoked_key_stops_within_seconds(ingest: Service) -> None:
    assert ingest.publish(sale(1)).status_code == 202
    with ingest.engine.begin() as connection:
        revoke_key(connection, "demo", ingest.token.split(".")[2], datetime.now(UTC))
    eventually(lambda: ingest.publish(sale(2)).status_code == 401, deadline=10)


def test_another_organizations_events_are_403(ingest: Service) -> None:
    organize(ingest.engine, "other")
    assert_problem(ingest.publish([sale(1, "other"), sale(2, "other")]), 403)
    assert ingest.publish(sale(1, "other"), ingest.key("terminal", "other")).status_code == 202
    assert len(ingest.held()) == 1


@pytest.mark.parametrize(("role", "status"), [("terminal", 202), ("owner", 202), ("viewer", 403), ("marketer", 403)])
def test_only_terminals_and_owners_publish(ingest_once: Service, role: Any, status: int) -> None:
    assert ingest_once.publish(sale(1), ingest_once.key(role)).status_code == status


def test_beyond_its_rate_a_key_gets_429_and_others_go_on(settings: Settings) -> None:
    with running(settings(IngestSettings, rate_limit=10)) as ingest:
        assert ingest.publish([sale(number) for number in range(95)]).status_code == 202
        answer = ingest.publish([sale(number) for number in range(50)])
        assert_problem(answer, 429)
        assert 4 <= int(answer.headers["retry-after"]) <= 5
        assert ingest.publish(sale(1), ingest.key()).status_code == 202
        assert len(ingest.held()) == 96


def test_a_change_of_currency_is_noticed(ingest: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.currencies.FRESH_SECONDS", 0.0)
    assert ingest.publish(sale(1)).status_code == 202
    with ingest.engine.begin() as connection:
        connection.execute(update(organization).where(organization.c.organization_id == "demo").values(currency="EUR"))
    eventually(lambda: ingest.publish(sale(2)).status_code == 400, deadline=10)


def test_metrics_name_routes_and_never_paths(ingest: Service) -> None:
    ingest.publish([sale(1), sale(2, total=1)])
    ingest.client.get("/u/some-token-that-nobody-signed")
    ingest.client.get("/nowhere/at/all")
    shown = generate_latest().decode()
    assert 'regulars_http_requests_total{method="POST",route="/v1/events",status="202"}' in shown
    assert 'regulars_http_requests_total{method="GET",route="/u/{token}",status="404"}' in shown
    assert 'regulars_events_total{outcome="accepted",topic="pos.sales.v1",type="sale.completed"}' in shown
    assert "some-token" not in shown
    assert "nowhere" not in shown


def test_health_docs_and_unknown_places(ingest_once: Service) -> None:
    client = ingest_once.client
    assert client.get("/healthz").status_code == 200
    assert client.get("/").json()["docs"] == "/docs"
    document = client.get("/openapi.json").json()
    described = document["paths"]["/v1/events"]["post"]["responses"]
    assert {"202", "400", "401", "403", "413", "415", "429", "503"} <= set(described)
    assert_problem(client.get("/v1/nothing"), 404)
    assert_problem(client.get("/v1/events"), 405)
    assert client.get("/healthz", headers={"x-request-id": "till-7"}).headers["x-request-id"] == "till-7"


def bad(number: int, how: int) -> bytes:
    """An event that is wrong in one of several ways."""
    ways: list[bytes] = [
        raw(sale(number, total=-1)),
        raw(sale(number, "other")),
        raw(sale(number, currency="EUR")),
        raw(sale(number) | {"type": "sale.dreamt"}),
        raw(sale(number))[:-2],
        b'"text"',
        raw(sale(number)) + b"\xff",
    ]
    return ways[how]


@pytest.fixture(scope="module")
def shared_ingest(kafka: str, database_server: str, template: str) -> Iterator[Service]:
    with new_database(database_server, template) as (_, address):
        prefix = f"t{random.randrange(2**40):x}."
        with running(IngestSettings(kafka=kafka, database=address, topic_prefix=prefix, partitions=2)) as service:
            yield service


@pytest.fixture
def ingest_once(shared_ingest: Service) -> Service:
    """The one server that many tests may ask, because they do not look at all that Kafka holds."""
    return shared_ingest


@given(plan=st.lists(st.integers(-3, 6), min_size=1, max_size=40), seed=st.integers(0, 2**32))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_the_mix_accepted_and_rejected_are_all_and_kafka_holds_the_accepted(
    shared_ingest: Service, plan: list[int], seed: int
) -> None:
    before = Counter(shared_ingest.held(Topic.SALES))
    events = [raw(sale(seed + index)) if how < 0 else bad(seed + index, how) for index, how in enumerate(plan)]
    answer = shared_ingest.publish(ndjson(events), **{"content-type": "application/x-ndjson"})
    good = [index for index, how in enumerate(plan) if how < 0]
    assert answer.status_code == (202 if good else 403 if set(plan) == {1} else 400)
    told = answer.json()
    assert told["accepted"] == len(good)
    assert sorted([*good, *(each["index"] for each in told["rejected"])]) == list(range(len(plan)))
    added = Counter(shared_ingest.held(Topic.SALES)) - before
    assert Counter(value for _, value in added.elements()) == Counter(events[index] for index in good)


def test_the_examples_of_the_docs_are_good(ingest_once: Service) -> None:
    document = ingest_once.client.get("/openapi.json").json()
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        assert ingest_once.publish(json.dumps(example["value"]).encode()).status_code == 202

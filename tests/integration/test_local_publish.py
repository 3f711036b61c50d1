from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kafka import KafkaConsumer
from rich.console import Console

from services.local.publish import by_http, by_kafka, lines
from services.local.publish.report import Report
from shared.errors import RegularsError, SetupError
from shared.kafka import Topic, create_topics, producer
from shared.settings import Settings, load


def sale(number: int, customer: str = "c-1") -> bytes:
    data = {"organization_id": "demo", "store_id": "s1", "sale_id": f"R-{number}", "currency": "INR", "total": 100}
    data |= {"customer_id": customer, "lines": []}
    event = {"specversion": "1.0", "id": f"e-{number}", "source": "/till", "type": "sale.completed"}
    return json.dumps(event | {"time": "2026-11-01T10:00:00Z", "data": data}).encode()


def chunks(*raws: bytes) -> Iterator[lines.Chunk]:
    return lines.read(io.BytesIO(b"".join(raw + b"\n" for raw in raws)))


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def report(shown: io.StringIO) -> Iterator[Report]:
    with Report(None, Console(file=shown)) as report:
        yield report


@pytest.fixture
def chosen(settings: Callable[..., Settings]) -> Settings:
    made: Settings = settings(Settings)
    create_topics(made)
    return made


def held(settings: Settings, topic: Topic, count: int) -> list[Any]:
    """The first `count` records of a topic."""
    consumer = KafkaConsumer(
        topic.on(settings), bootstrap_servers=settings.kafka, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    try:
        return [record for _, record in zip(range(count), consumer, strict=False)]
    finally:
        consumer.close()


def test_every_event_is_acknowledged_in_order_and_in_the_partition_that_other_clients_choose(
    chosen: Settings, report: Report
) -> None:
    events = [sale(number, f"c-{number % 50}") for number in range(2_000)]
    by_kafka.publish(chunks(*events), chosen, report)
    assert (report.acknowledged, report.rejected) == (2_000, 0)
    records = held(chosen, Topic.SALES, 2_000)
    assert sorted(record.value for record in records) == sorted(events)
    of_one = [json.loads(record.value)["id"] for record in records if record.key == b"demo/c-7"]
    assert of_one == [f"e-{number}" for number in range(7, 2_000, 50)]
    sender = producer(chosen)
    try:
        for record in {record.key: record for record in records}.values():
            assert sender.send(record.topic, b"{}", record.key).get(20).partition == record.partition
    finally:
        sender.close()


def test_what_is_no_event_is_named_by_line_and_its_neighbours_go_through(
    chosen: Settings, report: Report, shown: io.StringIO
) -> None:
    by_kafka.publish(chunks(sale(1), b"", b"rubbish", sale(2).replace(b"100", b"-1"), sale(3)), chosen, report)
    assert (report.acknowledged, report.rejected) == (2, 2)
    assert "line 3: " in shown.getvalue()
    assert "line 4: data.total: " in shown.getvalue()
    assert [json.loads(record.value)["id"] for record in held(chosen, Topic.SALES, 2)] == ["e-1", "e-3"]


def test_raw_publishes_rubbish_as_it_is(chosen: Settings, report: Report) -> None:
    by_kafka.publish(chunks(b"rubbish", sale(1)), chosen, report, raw=True)
    assert (report.acknowledged, report.rejected) == (2, 0)
    assert sorted(record.value for record in held(chosen, Topic.SALES, 2)) == sorted([b"rubbish", sale(1)])


def test_without_a_broker_one_line_says_so(report: Report) -> None:
    with pytest.raises(SetupError, match="does not answer"):
        by_kafka.publish(chunks(sale(1)), load(Settings, kafka="127.0.0.1:1"), report)


class Ingest(ThreadingHTTPServer):
    """Answers as told, in turn; the last one for ever. None cuts the connection without an answer."""

    def __init__(self) -> None:
        self.answers: list[Callable[[list[bytes]], tuple[int, dict[str, str], object]] | None] = [accept]
        self.bodies: list[list[bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).split(b"\n")
                server.bodies.append(body)
                answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer(body)
                payload = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True


def accept(body: list[bytes]) -> tuple[int, dict[str, str], object]:
    return 202, {}, {"accepted": len(body), "rejected": []}


def later(status: int) -> Callable[[list[bytes]], tuple[int, dict[str, str], object]]:
    return lambda _: (status, {"Retry-After": "0.01"}, {"detail": "later"})


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    with Ingest() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def post(ingest: Ingest, report: Report, *raws: bytes) -> None:
    by_http.publish(chunks(*raws), f"http://127.0.0.1:{ingest.server_port}", "rg.key", report)


def test_batches_of_a_thousand_are_tried_until_ingest_takes_them(ingest: Ingest, report: Report) -> None:
    ingest.answers = [later(503), None, later(429), accept]
    post(ingest, report, *[sale(number) for number in range(2_500)])
    assert report.acknowledged == 2_500
    assert [len(body) for body in ingest.bodies] == [1_000] * 5 + [500]


def test_rejections_are_told_by_the_line_of_the_file(ingest: Ingest, report: Report, shown: io.StringIO) -> None:
    def refuse_second(body: list[bytes]) -> tuple[int, dict[str, str], object]:
        return 202, {}, {"accepted": len(body) - 1, "rejected": [{"index": 1, "id": None, "reason": "type: unknown"}]}

    ingest.answers = [refuse_second]
    post(ingest, report, sale(1), b"", b"{}", sale(2))
    assert (report.acknowledged, report.rejected) == (2, 1)
    assert "line 3: type: unknown" in shown.getvalue()


def test_a_batch_without_a_good_one_is_told_line_by_line_too(ingest: Ingest, report: Report) -> None:
    ingest.answers = [
        lambda body: (400, {}, {"accepted": 0, "rejected": [{"index": 0, "id": None, "reason": "no"}] * len(body)})
    ]
    post(ingest, report, b"{}", b"{}")
    assert (report.acknowledged, report.rejected) == (0, 2)


def test_a_batch_too_large_is_halved_until_the_one_line_is_found(ingest: Ingest, report: Report) -> None:
    ingest.answers = [lambda body: (413, {}, {"detail": "too large"}) if b"huge" in body else accept(body)]
    post(ingest, report, sale(1), sale(2), b"huge", sale(3))
    assert (report.acknowledged, report.rejected) == (3, 1)


def test_a_key_that_is_not_known_ends_it_at_once(ingest: Ingest, report: Report) -> None:
    ingest.answers = [lambda _: (401, {}, {"detail": "This key is not known."})]
    with pytest.raises(RegularsError, match="This key is not known"):
        post(ingest, report, sale(1), sale(2))
    assert len(ingest.bodies) == 1

"""Kafka by TLS and SASL: who is let in, who is told why not, and an event's whole way over it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import trustme
from psycopg.types.json import Jsonb

from services import cli
from services.admin.publisher import connect as admins_producer
from services.local import ports
from services.local.plan import Options, decide
from services.local.probes import why_no_kafka
from services.local.publish import by_kafka, lines
from services.local.publish.report import Report
from shared.database.engine import connect
from shared.errors import SetupError, TransientError
from shared.kafka import Topic, create_topics, producer
from shared.kafka_access import KafkaAccess, variables
from shared.kafka_trouble import reach_within, trouble_with
from shared.settings import IngestSettings, MailerSettings, SegmenterSettings, recorded
from shared.settings import Settings as Shared
from tests import ingest as till
from tests.guarded_kafka import PASSWORD, Guarded, guarded_kafka
from tests.mailing import mailer
from tests.segmenter import consume, of_its_own
from tests.stack import eventually

Settings = Callable[..., Any]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_kafka() as running:
        yield running


@pytest.mark.parametrize(
    ("listener", "mechanism"),
    [
        ("secure", "PLAIN"),
        ("secure", "SCRAM-SHA-256"),
        ("secure", "SCRAM-SHA-512"),
        ("login", "PLAIN"),
        ("mutual", "PLAIN"),
    ],
)
def test_each_way_in_takes_every_kind_of_client(
    guarded: Guarded, settings: Settings, tmp_path: Path, listener: str, mechanism: str
) -> None:
    access = guarded.access(listener, kafka_sasl_mechanism=mechanism)
    assert trouble_with(access) is None
    chosen = settings(Shared, **access.model_dump())
    create_topics(chosen)
    sender = producer(chosen)
    sender.send(Topic.DEAD_LETTERS.on(chosen), b"{}").get(timeout=20)
    sender.close()
    sales = tmp_path / "sales.ndjson"
    sales.write_text(json.dumps(till.sale(1)) + "\n")
    with lines.opened(str(sales)) as (source, size), Report(size) as report:
        by_kafka.publish(lines.read(source), chosen, report)
    assert len(till.consume(chosen, Topic.SALES)) == 1


def stranger(folder: Path) -> str:
    """The PEM file of an authority that the broker's certificate is not of."""
    file = folder / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(file)
    return str(file)


REFUSED: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "wrong password": ("secure", {"kafka_password": "no"}, SetupError, "REGULARS_KAFKA_PASSWORD"),
    "wrong password by scram": (
        "secure",
        {"kafka_password": "no", "kafka_sasl_mechanism": "SCRAM-SHA-512"},
        SetupError,
        "REGULARS_KAFKA_PASSWORD",
    ),
    "mechanism not offered": (
        "login",
        {"kafka_sasl_mechanism": "SCRAM-SHA-512"},
        SetupError,
        "does not offer SCRAM-SHA-512: set REGULARS_KAFKA_SASL_MECHANISM",
    ),
    "the machine's authorities": ("secure", {"kafka_ca_file": ""}, SetupError, "REGULARS_KAFKA_CA_FILE"),
    "another authority": ("secure", {"kafka_ca_file": stranger}, SetupError, "REGULARS_KAFKA_CA_FILE"),
    "another name": ("secure", {"kafka": "127.0.0.1"}, SetupError, "as the certificate names it"),
    "no certificate of its own": (
        "mutual",
        {"kafka_certificate_file": "", "kafka_key_file": ""},
        SetupError,
        "REGULARS_KAFKA_CERTIFICATE_FILE",
    ),
    "login where none is asked for": (
        "plain",
        {"kafka_security_protocol": "sasl_plaintext", "kafka_username": "me", "kafka_password": "no"},
        SetupError,
        "set REGULARS_KAFKA_SECURITY_PROTOCOL to plaintext",
    ),
    "no login where one is asked for": (
        "secure",
        {"kafka_security_protocol": "ssl", "kafka_username": "", "kafka_password": ""},
        TransientError,
        "is ssl what this port speaks (REGULARS_KAFKA_SECURITY_PROTOCOL)?",
    ),
    "no TLS where it is spoken": (
        "mutual",
        {
            "kafka_security_protocol": "plaintext",
            "kafka_certificate_file": "",
            "kafka_key_file": "",
            "kafka_ca_file": "",
        },
        TransientError,
        "is plaintext what this port speaks",
    ),
    "TLS where it is not spoken": (
        "plain",
        {"kafka_security_protocol": "ssl"},
        TransientError,
        "is ssl what this port",
    ),
    "sent to nobody": ("lost", {}, TransientError, "is what Kafka at localhost:"),
    "nobody there": ("plain", {"kafka": "nobody"}, TransientError, "does not answer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_not_let_in_is_told_why_in_one_line(guarded: Guarded, tmp_path: Path, case: str) -> None:
    listener, given, kind, told = REFUSED[case]
    wrong = {name: value(tmp_path) if callable(value) else value for name, value in given.items()}
    if wrong.get("kafka") == "127.0.0.1":
        wrong["kafka"] = guarded.servers[listener].replace("localhost", "127.0.0.1")
    elif wrong.get("kafka") == "nobody":
        wrong["kafka"] = f"127.0.0.1:{ports.free()}"
    if listener == "plain":
        access = KafkaAccess(**{"kafka": guarded.plain} | wrong)
    else:
        access = guarded.access(listener, **wrong)
    why = trouble_with(access)
    assert why is not None
    assert told in why
    assert "\n" not in why
    assert PASSWORD not in why
    with pytest.raises(SetupError) as raised:
        reach_within(access, 0.0)
    assert isinstance(raised.value.__cause__, TransientError) == (kind is TransientError), "what may pass is waited for"


def test_services_say_why_they_wait_and_an_event_goes_its_whole_way_once_the_password_is_right(
    guarded: Guarded,
    settings: Settings,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    user = f"till-{topic_prefix}"
    guarded.set_password(user, "not yet")
    access = guarded.access("secure", kafka_sasl_mechanism="SCRAM-SHA-512", kafka_username=user).model_dump()
    chosen = settings(SegmenterSettings, **access)
    with ExitStack() as running:
        segmenter = running.enter_context(of_its_own(chosen, tmp_path / "segmenter"))
        segmenter.start()
        mails = running.enter_context(mailer(settings(MailerSettings, sandbox_url="http://127.0.0.1:9", **access)))
        service = running.enter_context(till.running(settings(IngestSettings, **access), ready=False))
        told = "refuses the user name or the password"
        eventually(lambda: told in (segmenter.why_not_ready() or ""))
        eventually(lambda: f"kafka: Kafka at {chosen.kafka} {told}" in mails.readiness())
        eventually(lambda: told in service.client.get("/readyz").text)
        assert service.publish(till.sale(1)).status_code == 503
        with pytest.raises(TransientError, match=told):
            admins_producer(chosen)
        for name, value in (variables(chosen) | {"REGULARS_TOPIC_PREFIX": topic_prefix}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["regulars", "topics"])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
        said = capsys.readouterr()
        assert said.err.startswith(f"regulars: Kafka at {chosen.kafka} {told}")
        assert said.err.count("\n") == 1

        with connect(chosen.database, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot) "
                "VALUES ('demo', 'spenders', 'Spenders', 'dynamic', %s, 0)",
                [Jsonb({"field": "total_spent", "op": "gte", "value": 5_000})],
            )
        guarded.set_password(user, PASSWORD)
        eventually(lambda: service.client.get("/readyz").status_code == 200)
        eventually(lambda: segmenter.why_not_ready() is None)
        mails.wait_until_ready()
        assert service.publish(till.sale(1)).status_code == 202
        (record,) = eventually(lambda: consume(chosen, Topic.SEGMENTS), every=0.2)
        event = json.loads(record.value)
        assert (event["type"], event["data"]["customer_id"]) == ("segment.entered", "c-1")
        assert segmenter.log.read_text().count("kafka.unusable") == 1, "each reason is told once"


def test_up_gets_in_by_its_environment_and_later_commands_by_what_it_kept(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = guarded.servers["secure"]
    options = Options(tmp_path, ingest_port=0, admin_port=0, sandbox_port=0, kafka=server)
    given = {**variables(guarded.access("secure")), "REGULARS_KAFKA": "nobody:1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    kept = decide(options, Mock()).environment
    monkeypatch.setenv("REGULARS_KAFKA_PASSWORD", "no")
    with pytest.raises(SetupError, match=f"--kafka cannot be used. Kafka at {server} refuses the user name"):
        decide(options, Mock())
    for name in given:
        monkeypatch.delenv(name)
    assert why_no_kafka(recorded(kept)) is None

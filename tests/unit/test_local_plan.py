"""What runs where: simulated people only where the demo was asked for."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from services.local.plan import SERVICES, Options, Plan

PORTS = {"ingest": 8010, "admin": 8020, "sandbox": 8030}


def _parts(options: Options) -> tuple[list[str], list[str]]:
    """The names of all parts, and the sandbox's command."""
    plan = Plan(options, Mock(), 9092, 5432, PORTS, dict.fromkeys(SERVICES, 9100))
    parts = plan.services()
    return [part.name for part in parts], parts[0].prepare().command


@pytest.mark.parametrize(
    ("options", "people"),
    [
        (Options(Path()), []),
        (Options(Path(), readers=True), []),
        (Options(Path(), demo=True, readers=False), ["tills"]),
        (Options(Path(), demo=True), ["tills", "readers"]),
    ],
)
def test_nobody_is_simulated_but_in_the_demo(options: Options, people: list[str]) -> None:
    names, sandbox = _parts(options)
    assert names == ["sandbox", *SERVICES, *people]
    assert ("--demo" in sandbox) == ("readers" in people)


def test_our_own_kafka_asks_for_nothing_and_another_one_for_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secured = {
        "SECURITY_PROTOCOL": "sasl_ssl",
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "USERNAME": "me",
        "PASSWORD": "s3cr:t",
    }
    for name, value in secured.items():
        monkeypatch.setenv(f"REGULARS_KAFKA_{name}", value)

    def told(kafka: str) -> dict[str, str]:
        plan = Plan(Options(Path(), kafka=kafka), Mock(), 9092, 5432, PORTS, dict.fromkeys(SERVICES, 9100))
        return {name: plan.environment[f"REGULARS_KAFKA_{name}"] for name in secured}

    assert told("kafka.example:9093") == secured
    assert told("local") == {
        "SECURITY_PROTOCOL": "plaintext",
        "SASL_MECHANISM": "PLAIN",
        "USERNAME": "",
        "PASSWORD": "",
    }

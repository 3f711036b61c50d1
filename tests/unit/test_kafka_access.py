"""Settings that let clients into Kafka: what fits together, and what is said of what does not."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from shared.errors import SetupError
from shared.kafka_access import KafkaAccess, client_arguments, plain, variables
from shared.settings import load, recorded
from shared.worker import broker_arguments

LOGIN = {"kafka_username": "till", "kafka_password": "s3cr:t"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """By the names of the settings; `garbage` is no certificate, `gone` is not there."""
    ca = trustme.CA()
    own = ca.issue_cert("client@shop.example")
    made = {name: tmp_path / f"{name}.pem" for name in ("authority", "certificate", "key", "both", "garbage", "gone")}
    ca.cert_pem.write_to_path(made["authority"])
    own.cert_chain_pems[0].write_to_path(made["certificate"])
    own.private_key_pem.write_to_path(made["key"])
    own.private_key_and_cert_chain_pem.write_to_path(made["both"])
    made["garbage"].write_text("no certificate")
    return {name: str(path) for name, path in made.items()}


def named(given: dict[str, str], files: dict[str, str]) -> dict[str, str]:
    return {name: files.get(value, value) for name, value in given.items()}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kafka_security_protocol": "tls"}, 'must be "plaintext", "ssl", "sasl_plaintext" or "sasl_ssl"'),
        ({"kafka_sasl_mechanism": "GSSAPI"}, 'must be "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"'),
        ({"kafka_security_protocol": "sasl_ssl"}, "needs REGULARS_KAFKA_USERNAME and REGULARS_KAFKA_PASSWORD"),
        ({"kafka_security_protocol": "sasl_ssl", "kafka_username": "till"}, "needs REGULARS_KAFKA_PASSWORD"),
        (LOGIN, "is plaintext, which takes no user name and no password: did you mean sasl_ssl?"),
        ({"kafka_security_protocol": "ssl", "kafka_password": "s3cr:t"}, "which takes no user name and no password"),
        ({"kafka_ca_file": "authority"}, "which takes no REGULARS_KAFKA_CA_FILE: did you mean ssl or sasl_ssl?"),
        (
            {"kafka_security_protocol": "ssl", "kafka_ca_file": "gone"},
            "Setting REGULARS_KAFKA_CA_FILE is wrong: must name",
        ),
        ({"kafka_security_protocol": "ssl", "kafka_ca_file": "/"}, "must name a file that can be read"),
        (
            {"kafka_security_protocol": "ssl", "kafka_ca_file": "garbage"},
            "REGULARS_KAFKA_CA_FILE must hold certificates",
        ),
        (
            {"kafka_security_protocol": "ssl", "kafka_key_file": "key"},
            "REGULARS_KAFKA_KEY_FILE needs REGULARS_KAFKA_CERTIFICATE_FILE",
        ),
        (
            {"kafka_security_protocol": "ssl", "kafka_certificate_file": "certificate"},
            "must hold a certificate and its key, unencrypted (PEM)",
        ),
        (
            {"kafka_security_protocol": "ssl", "kafka_certificate_file": "authority", "kafka_key_file": "key"},
            "must hold a certificate and its key, unencrypted (PEM): KEY_VALUES_MISMATCH",
        ),
    ],
)
def test_what_does_not_fit_together_is_one_line_that_names_it(
    files: dict[str, str], given: dict[str, str], told: str
) -> None:
    with pytest.raises(SetupError) as caught:
        load(KafkaAccess, **named(given, files))
    message = str(caught.value)
    assert told in message
    assert "REGULARS_KAFKA_" in message
    assert "\n" not in message
    assert "s3cr:t" not in message


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"kafka_security_protocol": "ssl"},
        {"kafka_security_protocol": "SSL", "kafka_ca_file": "authority", "kafka_certificate_file": "both"},
        {"kafka_security_protocol": "ssl", "kafka_certificate_file": "certificate", "kafka_key_file": "key"},
        {"kafka_security_protocol": "sasl_plaintext", "kafka_sasl_mechanism": "scram-sha-256", **LOGIN},
        {"kafka_security_protocol": "SASL_SSL", "kafka_ca_file": "authority", **LOGIN},
    ],
)
def test_what_fits_together_is_told_to_every_client_alike(files: dict[str, str], given: dict[str, str]) -> None:
    access = load(KafkaAccess, kafka="a:1,b:2", **named(given, files))
    told, faust = client_arguments(access), broker_arguments(access)
    protocol = given.get("kafka_security_protocol", "plaintext").upper()
    assert told["bootstrap_servers"] == ["a:1", "b:2"]
    assert faust["broker"] == "kafka://a:1;kafka://b:2"
    context = told.get("ssl_context")
    assert (context is not None) == protocol.endswith("SSL")
    if context is not None:
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    given_by_faust = credentials_to_aiokafka_auth(faust["broker_credentials"])
    assert {"security_protocol": protocol, **security(told)} == security(given_by_faust)
    if protocol.startswith("SASL"):
        names = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
        mechanism = given.get("kafka_sasl_mechanism", "plain").upper()
        assert tuple(told[name] for name in names) == (mechanism, *LOGIN.values())


def security(told: Mapping[str, Any]) -> dict[str, Any]:
    """Without the addresses; contexts, made anew each time, by whether there is one."""
    kept = {name: value for name, value in told.items() if name not in {"bootstrap_servers", "ssl_context"}}
    return kept | {"tls": told.get("ssl_context") is not None}


def test_a_child_process_gets_the_same_access_whatever_stands_in_its_environment(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secured: dict[str, Any] = {"kafka_security_protocol": "sasl_ssl", "kafka_ca_file": files["authority"], **LOGIN}
    for name, value in secured.items():
        monkeypatch.setenv(f"REGULARS_{name.upper()}", value)
    assert load(KafkaAccess, kafka="a:1") == recorded(variables(load(KafkaAccess, kafka="a:1")))
    for name, value in variables(plain("127.0.0.1:9092")).items():
        monkeypatch.setenv(name, value)
    assert client_arguments(load(KafkaAccess)) == {"bootstrap_servers": ["127.0.0.1:9092"]}


def test_a_file_is_the_same_one_from_another_directory(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(files["authority"]).parent)
    access = load(KafkaAccess, kafka_security_protocol="ssl", kafka_ca_file="authority.pem")
    assert access.kafka_ca_file == files["authority"]

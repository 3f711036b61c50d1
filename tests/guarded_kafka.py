"""A Kafka that lets in only who shows what each of its ports asks for, with certificates made for this run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from services.local import kafka, ports
from shared.kafka_access import KafkaAccess
from tests.stack import scratch

USER = "regulars"
PASSWORD = "s3cr:t@%&+ of this run"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
# What each port asks for, beside the plain one. `lost` asks for nothing, and tells clients to go where nobody is.
LISTENERS = {"secure": "SASL_SSL", "mutual": "SSL", "login": "SASL_PLAINTEXT", "lost": "PLAINTEXT"}


@dataclass(frozen=True)
class Guarded:
    """Where it listens, and what clients show."""

    plain: str
    servers: dict[str, str]
    authority: Path
    certificate: Path
    key: Path

    def access(self, listener: str, **given: Any) -> KafkaAccess:
        """Settings that are let in there, unless `given` replaces what matters."""
        protocol = LISTENERS[listener].lower()
        fitting: dict[str, Any] = {"kafka": self.servers[listener], "kafka_security_protocol": protocol}
        if protocol.startswith("sasl"):
            fitting |= {"kafka_username": USER, "kafka_password": PASSWORD}
        if protocol.endswith("ssl"):
            fitting |= {"kafka_ca_file": str(self.authority)}
        if listener == "mutual":
            fitting |= {"kafka_certificate_file": str(self.certificate), "kafka_key_file": str(self.key)}
        return KafkaAccess(**fitting | given)

    def set_password(self, user: str, password: str) -> None:
        """For SCRAM, as an operator does while the broker runs."""
        admin = KafkaAdminClient(bootstrap_servers=self.plain)
        try:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):  # one in a request
                told = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, mechanism, password)])
                assert told == {user: None}, told
        finally:
            admin.close()


@contextmanager
def guarded_kafka() -> Iterator[Guarded]:
    with scratch() as folder:
        ca = trustme.CA()
        authority, certificate, key = folder / "ca.pem", folder / "client.pem", folder / "client.key"
        ca.cert_pem.write_to_path(authority)
        own = ca.issue_cert("client@shop.example")
        own.cert_chain_pems[0].write_to_path(certificate)
        own.private_key_pem.write_to_path(key)
        _write_keystore(ca.issue_cert("localhost"), folder / "broker.pem")
        port, others = ports.free(), {name: ports.free() for name in LISTENERS}
        program = kafka.prepare(folder / "kafka", port)
        _guard(folder / "kafka" / "server.properties", others, folder)
        process = program.start(folder / "kafka.log", folder)
        try:
            kafka.wait_until_ready(f"{ports.LOOPBACK}:{port}", 60)
            servers = {name: f"localhost:{number}" for name, number in others.items()}
            guarded = Guarded(f"{ports.LOOPBACK}:{port}", servers, authority, certificate, key)
            guarded.set_password(USER, PASSWORD)
            yield guarded
        finally:
            program.stop(process, 10)


def _write_keystore(issued: trustme.LeafCert, path: Path) -> None:
    """Kafka takes a key in PKCS #8 only."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(text + b"".join(each.bytes() for each in issued.cert_chain_pems))


def _guard(config: Path, others: dict[str, int], folder: Path) -> None:
    """Add the ports that ask for something to the configuration of `regulars up`."""
    also = {
        "listeners": "".join(f",{name.upper()}://{ports.LOOPBACK}:{port}" for name, port in others.items()),
        "advertised.listeners": "".join(
            f",{name.upper()}://localhost:{ports.free() if name == 'lost' else port}" for name, port in others.items()
        ),
        "listener.security.protocol.map": "".join(f",{name.upper()}:{kind}" for name, kind in LISTENERS.items()),
    }
    lines = []
    for line in config.read_text().splitlines():
        name = line.partition("=")[0]
        lines.append(line + also.pop(name, ""))
    assert not also, f"the configuration has no {', '.join(also)}"
    for name, kind in LISTENERS.items():
        before = f"listener.name.{name}"
        if kind.startswith("SASL"):
            offered = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512") if name == "secure" else ("PLAIN",)
            lines.append(f"{before}.sasl.enabled.mechanisms={','.join(offered)}")
            for mechanism in offered:
                module = PLAIN if mechanism == "PLAIN" else SCRAM
                lines.append(f"{before}.{mechanism.lower()}.sasl.jaas.config={module}")
        if kind.endswith("SSL"):
            lines += [f"{before}.ssl.keystore.type=PEM", f"{before}.ssl.keystore.location={folder / 'broker.pem'}"]
        if name == "mutual":
            lines += [
                f"{before}.ssl.client.auth=required",
                f"{before}.ssl.truststore.type=PEM",
                f"{before}.ssl.truststore.location={folder / 'ca.pem'}",
            ]
    config.write_text("\n".join([*lines, ""]))

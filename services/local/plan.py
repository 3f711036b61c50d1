"""What `regulars up` is to run, where each part listens, and with which settings."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from services.installation import VARIABLE
from services.local import kafka, ports, postgres, probes
from services.local.directory import Secrets
from services.local.part import Part
from services.local.program import Program
from shared.errors import SetupError
from shared.kafka_access import KafkaAccess, plain, variables
from shared.settings import load

LOCAL = "local"
ORGANIZATION = "demo"
SERVICES = ("ingest", "segmenter", "mailer", "admin")
PROBE_SECONDS = 5.0
USUAL_PORTS = MappingProxyType({"ingest": 8010, "admin": 8020, "sandbox": 8030})


@dataclass(frozen=True)
class Options:
    """As given to `regulars up`. Port 0 means a free one; `kafka` and `database` are `local` or an address."""

    data_dir: Path
    empty: bool = False
    ingest_port: int = USUAL_PORTS["ingest"]
    admin_port: int = USUAL_PORTS["admin"]
    sandbox_port: int = USUAL_PORTS["sandbox"]
    kafka: str = LOCAL
    database: str = LOCAL
    demo: bool = False  # the demo's organization, and its tills
    readers: bool = True  # the demo's, who open its mail


@dataclass(frozen=True)
class Plan:
    """Every address, decided once for as long as the installation runs: who dies comes back where it was."""

    options: Options
    secrets: Secrets
    kafka_port: int
    database_port: int
    service_ports: dict[str, int]
    metrics_ports: dict[str, int]

    @property
    def kafka(self) -> str:
        external = self.options.kafka
        return f"{ports.LOOPBACK}:{self.kafka_port}" if external == LOCAL else external

    @property
    def access(self) -> KafkaAccess:
        """How to get in: our own asks for nothing, another one as the environment says."""
        return plain(self.kafka) if self.options.kafka == LOCAL else load(KafkaAccess, kafka=self.options.kafka)

    @property
    def database(self) -> str:
        external = self.options.database
        return postgres.url(self.database_port, self.secrets.database_password) if external == LOCAL else external

    @property
    def endpoints(self) -> dict[str, str]:
        http = {name: f"http://{ports.LOOPBACK}:{port}" for name, port in self.service_ports.items()}
        return http | {"kafka": self.kafka, "database": self.database}

    @property
    def console(self) -> str:
        return f"{self.endpoints['admin']}/console"

    @property
    def metrics(self) -> dict[str, str]:
        return {name: f"http://{ports.LOOPBACK}:{port}/metrics" for name, port in self.metrics_ports.items()}

    @property
    def environment(self) -> dict[str, str]:
        """The settings that all parts share, and that commands take over (`--data-dir`)."""
        ingest = self.endpoints["ingest"]
        return {
            **variables(self.access),
            "REGULARS_DATABASE": self.database,
            "REGULARS_HOST": ports.LOOPBACK,
            "REGULARS_SECRET": self.secrets.secret,
            "REGULARS_WEBHOOK_SECRET": self.secrets.webhook_secret,
            "REGULARS_PUBLIC_URL": ingest,
            "REGULARS_SANDBOX_URL": self.endpoints["sandbox"],
            "REGULARS_INGEST_PORT": str(self.service_ports["ingest"]),
            "REGULARS_ADMIN_PORT": str(self.service_ports["admin"]),
        }

    def stores(self) -> list[Part]:
        """PostgreSQL and Kafka, as far as they are ours to run."""
        root, parts = self.options.data_dir, []
        if self.options.database == LOCAL:
            password = self.secrets.database_password
            parts.append(
                Part(
                    "database",
                    lambda: postgres.prepare(root / "postgres", self.database_port, password),
                    lambda: probes.why_no_database(postgres.url(self.database_port, password, "postgres")) is None,
                    grace=20,
                )
            )
        if self.options.kafka == LOCAL:
            parts.append(
                Part(
                    "kafka",
                    lambda: kafka.prepare(root / "kafka", self.kafka_port),
                    lambda: probes.why_no_kafka(self.access, 0) is None,
                    grace=20,
                )
            )
        return parts

    def services(self) -> list[Part]:
        """The sandbox first: the mailer sends to it."""
        services = [self._service("sandbox", self.endpoints["sandbox"])] + [
            self._service(name, self.metrics[name].removesuffix("/metrics")) for name in SERVICES
        ]
        simulated = ("tills", "readers") if self._has_readers else ("tills",)
        return services + [self._simulated(name) for name in simulated if self.options.demo]

    @property
    def _has_readers(self) -> bool:
        return self.options.demo and self.options.readers

    def _simulated(self, name: str) -> Part:
        """People of the demo. They wait by themselves for what they need, and nobody waits for them."""
        root = self.options.data_dir
        command = [sys.executable, "-P", "-m", f"services.local.demo.{name}"]
        program = Program(name, command, root, self.environment | {VARIABLE: str(root)})
        return Part(name, lambda: program, lambda: True)

    def _service(self, name: str, readiness_url: str) -> Part:
        environment = dict(self.environment)
        if name in self.metrics_ports:
            environment["REGULARS_METRICS_PORT"] = str(self.metrics_ports[name])
        if os.environ.get("REGULARS_MAIL_PROVIDER", "sandbox") == "sandbox":
            # Mail that stays here is looked at by whoever tries it out, at once; no scanner ever sees it.
            environment["REGULARS_TOO_SOON_SECONDS"] = os.environ.get("REGULARS_TOO_SOON_SECONDS", "0")
        # -P keeps the working directory out of the import path.
        command = [sys.executable, "-P", "-m", "services.cli", name]
        if name == "sandbox":
            command += ["--port", str(self.service_ports["sandbox"])] + ["--demo"] * self._has_readers
        program = Program(name, command, self.options.data_dir, environment)
        return Part(name, lambda: program, lambda: probes.why_not_ready(readiness_url) is None)


def decide(options: Options, secrets: Secrets) -> Plan:
    """Choose the ports. Raises SetupError where one asked for is taken, or an external store absent."""
    asked = {"ingest": options.ingest_port, "admin": options.admin_port, "sandbox": options.sandbox_port}
    chosen = {name: _service_port(name, port) for name, port in asked.items()}
    if len(set(chosen.values())) < len(chosen):
        raise SetupError("ingest, admin and sandbox need a port each: give different ones, or 0 for free ones.")
    if options.database != LOCAL and (why := probes.why_no_database(options.database)):
        raise SetupError(f"The database given with --database does not answer: {why}")
    planned = Plan(
        options,
        secrets,
        # Free ones, not the usual ones: two installations that start at once must never share a broker.
        kafka_port=ports.free(),
        database_port=ports.free(),
        service_ports=chosen,
        metrics_ports={name: ports.free() for name in SERVICES},
    )
    if options.kafka != LOCAL and (why := probes.why_no_kafka(planned.access, PROBE_SECONDS)):
        raise SetupError(f"The Kafka given with --kafka cannot be used. {why}")
    return planned


def _service_port(name: str, asked: int) -> int:
    if asked == 0:
        return ports.free()
    if not ports.is_free(asked):
        raise SetupError(
            f"Port {asked} for {name} is taken by another program. Give --{name}-port N, 0 for a free one."
        )
    return asked

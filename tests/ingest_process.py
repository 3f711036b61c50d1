"""Ingest as a process of its own, to be killed and started again."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from services.local.program import Program
from shared.kafka_access import variables
from shared.settings import IngestSettings
from tests.stack import TRUSTS_NOBODY


class Process:
    """Ingest as a process of its own, on one port for all its lives."""

    def __init__(self, settings: IngestSettings, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{settings.ingest_port}"
        environment = {
            **variables(settings),
            "REGULARS_DATABASE": settings.database,
            "REGULARS_TOPIC_PREFIX": settings.topic_prefix,
            "REGULARS_PARTITIONS": "4",
            "REGULARS_INGEST_PORT": str(settings.ingest_port),
            "REGULARS_ACKNOWLEDGE_SECONDS": str(settings.acknowledge_seconds),
        }
        command = [sys.executable, "-m", "services.cli", "ingest"]
        self._program = Program("ingest", command, Path.cwd(), environment)
        self._folder = folder
        self.start()

    def start(self) -> None:
        self.process = self._program.start(self._folder / "ingest.log", self._folder)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, verify=TRUSTS_NOBODY).status_code == 200
        except httpx.HTTPError:
            return False

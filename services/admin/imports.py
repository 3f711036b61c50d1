"""Imports at the console: a file is judged first; then it runs in the background and tells how far it is."""

from __future__ import annotations

import io
import threading
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from pydantic import BaseModel
from sqlalchemy import Engine, delete, insert, select, update

from services.admin import audit, customer_import
from services.admin.customer_import import Acknowledged
from shared.clock import Clock
from shared.database.tables import customer_import as imported
from shared.errors import InvalidError, NotFoundError, RegularsError
from shared.keys import Key
from shared.logging import logger
from shared.settings import Settings

TOLD: Final = 100
ROWS_A_WORD: Final = 1_000
SILENT: Final = timedelta(minutes=2)  # Kafka may take 30 seconds to acknowledge
KEPT: Final = timedelta(days=7)
log = logger(__name__)


class Refused(NamedTuple):
    """A row that cannot be taken; `field` is empty when the whole row is meant."""

    row: int
    field: str
    message: str


class Judged(NamedTuple):
    """What would become of a file, with the first TOLD refused rows."""

    customers: int
    refused: int
    rows: list[Refused]


class Progress(BaseModel):
    """How far an import is. `state` is running, done, failed, or silent: its process ended before it did."""

    import_id: UUID
    state: str
    bytes: int
    bytes_read: int
    published: int
    refused: int
    failure: str | None
    started_at: datetime


def header(file: bytes) -> list[str]:
    """The names of the columns of a file. Raises InvalidError."""
    return customer_import.header(_text(io.BytesIO(file)))


def judge(file: bytes, organization_id: str, mapping: list[str], now: datetime) -> Judged:
    """A dry run; `mapping` has all columns that count, as `field=column`. Raises InvalidError."""
    rows: list[Refused] = []
    good = refused = 0
    found = customer_import.outcomes(_text(io.BytesIO(file)), organization_id, mapping, now, by_name=False)
    for number, outcome in found:
        if not isinstance(outcome, InvalidError):
            good += 1
            continue
        refused += 1
        if len(rows) < TOLD:
            rows.append(Refused(number, outcome.field, outcome.message))
    return Judged(good, refused, rows)


class Imports:
    """Runs them, a thread each. Safe to use from many threads."""

    def __init__(self, engine: Engine, settings: Settings, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock

    def start(self, key: Key, file: bytes, mapping: list[str], now: datetime) -> UUID:
        """Publish the good rows in the background. Kafka away is told by the import's state."""
        import_id = uuid4()
        with self._engine.begin() as connection:
            own = imported.c.organization_id == key.organization_id
            connection.execute(delete(imported).where(own, imported.c.started_at < now - KEPT))
            fresh = {"state": "running", "bytes": len(file), "started_at": now, "told_at": now}
            connection.execute(
                insert(imported).values(organization_id=key.organization_id, import_id=import_id, **fresh)
            )
            audit.record(connection, key, "customers.imported", "customers")
        of_it = (key.organization_id, import_id, file, mapping)
        # Not waited for when the service ends: who looks is told to import again, which changes nothing twice.
        threading.Thread(target=self._run, args=of_it, name=f"import-{import_id}", daemon=True).start()
        return import_id

    def progress(self, organization_id: str, import_id: UUID, now: datetime) -> Progress:
        """Raises NotFoundError."""
        wanted = select(imported).where(
            imported.c.organization_id == organization_id, imported.c.import_id == import_id
        )
        with self._engine.connect() as connection:
            row = connection.execute(wanted).mappings().first()
        if row is None:
            raise NotFoundError("There is no such import. They are kept for seven days.")
        is_silent = row["state"] == "running" and row["told_at"] < now - SILENT
        return Progress.model_validate(dict(row) | ({"state": "silent"} if is_silent else {}))

    def _run(self, organization_id: str, import_id: UUID, file: bytes, mapping: list[str]) -> None:
        try:
            counts = self._publish(organization_id, import_id, file, mapping)
            self._tell(organization_id, import_id, state="done", bytes_read=len(file), **counts)
        except InvalidError as error:
            self._tell(organization_id, import_id, state="failed", failure=f"The file {error.message}.")
        except RegularsError as error:
            self._tell(organization_id, import_id, state="failed", failure=str(error))
        except Exception:
            log.exception("import.failed", import_id=str(import_id))
            self._tell(organization_id, import_id, state="failed", failure="This is a defect of Regulars: see its log.")

    def _publish(self, organization_id: str, import_id: UUID, file: bytes, mapping: list[str]) -> dict[str, int]:
        raw = io.BytesIO(file)
        counts = {"published": 0, "refused": 0}
        topic = Acknowledged(self._settings)
        try:
            found = customer_import.outcomes(_text(raw), organization_id, mapping, self._clock(), by_name=False)
            for number, outcome in found:
                if isinstance(outcome, InvalidError):
                    counts["refused"] += 1
                else:
                    topic.send(outcome)
                    counts["published"] += 1
                if number % ROWS_A_WORD == 0:
                    self._tell(organization_id, import_id, bytes_read=raw.tell(), **counts)
            topic.wait()
        finally:
            topic.close()
        return counts

    def _tell(self, organization_id: str, import_id: UUID, **news: Any) -> None:
        which = (imported.c.organization_id == organization_id, imported.c.import_id == import_id)
        with self._engine.begin() as connection:
            connection.execute(update(imported).where(*which).values(told_at=self._clock(), **news))


def _text(raw: io.BytesIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, "utf-8-sig", newline="")

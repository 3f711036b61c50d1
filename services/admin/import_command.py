"""What `regulars import customers` does: rows in, events out, refused rows told one by one."""

from __future__ import annotations

import csv
import io
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from kafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.admin import customer_rows, organizations
from services.admin.customer_edits import changes_of
from services.admin.customer_events import Record, record
from services.admin.publisher import connect
from shared.clock import utc_now
from shared.errors import InvalidError, NotFoundError, TransientError
from shared.kafka import Topic
from shared.settings import Settings
from shared.wording import counted

IN_FLIGHT = 5_000
ACKNOWLEDGE_SECONDS = 30.0
FIRST_ROW = 2  # as a spreadsheet counts: the header is row 1
TOO_MANY = "\0"  # where DictReader puts cells beyond the header; no column is called so


def run(settings: Settings, organization_id: str, file: Path, mapping: list[str], *, dry_run: bool) -> bool:
    """Whether every row was good. The good ones are published, unless `dry_run`, also where others are refused.

    Raises InvalidError (the file or the mapping), NotFoundError (the organization) and TransientError (Kafka).
    """
    if not organizations.exists(settings.database, organization_id):
        raise NotFoundError(f"There is no organization {organization_id!r}. Make it: regulars organization create.")
    topic = None if dry_run else Acknowledged(settings)
    good = refused = 0
    try:
        with (
            file.open("rb") as raw,
            io.TextIOWrapper(raw, "utf-8-sig", newline="") as text,
            _progress() as progress,
        ):
            task = progress.add_task("Customers", total=file.stat().st_size)
            for number, outcome in _outcomes(text, organization_id, mapping):
                if isinstance(outcome, InvalidError):
                    refused += 1
                    progress.console.print(f"row {number}: {outcome}", markup=False, highlight=False, soft_wrap=True)
                    continue
                good += 1
                if topic is not None:
                    topic.send(outcome)
                progress.update(task, completed=raw.tell(), description=counted(good, "customer"))
        if topic is not None:
            topic.wait()
    finally:
        if topic is not None:
            topic.close()
    done = "would be published" if dry_run else "published"
    Console().print(f"{counted(good, 'customer')} {done}, {counted(refused, 'row')} refused", highlight=False)
    return refused == 0


class Acknowledged:
    """Publishes customers' events and knows that Kafka has them; a bounded number is under way."""

    def __init__(self, settings: Settings) -> None:
        self._topic = Topic.CUSTOMERS.on(settings)
        self._producer = connect(settings, linger_ms=5)
        self._under_way: deque[Any] = deque()

    def send(self, records: list[Record]) -> None:
        """Raises TransientError."""
        try:
            self._under_way.extend(self._producer.send(self._topic, each.value, each.key) for each in records)
        except KafkaError as error:
            raise self._failed(error) from error
        self._settle(IN_FLIGHT)

    def wait(self) -> None:
        """Until all are acknowledged."""
        self._settle(0)

    def close(self) -> None:
        """Give back the connections."""
        self._producer.close(5)

    def _settle(self, most: int) -> None:
        try:
            while len(self._under_way) > most:
                self._under_way.popleft().get(ACKNOWLEDGE_SECONDS)
        except KafkaError as error:
            raise self._failed(error) from error

    def _failed(self, error: KafkaError) -> TransientError:
        return TransientError(f"Kafka did not take all of it: {error}. Run the import again: it changes nothing twice.")


def _outcomes(
    text: TextIO, organization_id: str, mapping: list[str]
) -> Iterator[tuple[int, list[Record] | InvalidError]]:
    """For each row its number, and its events or what is wrong."""
    now, name = utc_now(), uuid.uuid4().hex
    number = FIRST_ROW - 1
    reader = csv.DictReader(text, restkey=TOO_MANY, strict=True)
    try:
        chosen = customer_rows.columns(list(reader.fieldnames or ()), mapping)
        for number, row in enumerate(reader, FIRST_ROW):
            try:
                yield number, _records(row, chosen, organization_id, f"{name}-{number}", now)
            except InvalidError as error:
                yield number, error
    except (csv.Error, UnicodeDecodeError) as error:
        message = f"cannot be read after row {number}: {error}. Save it as CSV in UTF-8"
        raise InvalidError(message, "FILE") from error


def _records(
    row: Mapping[str, str | None], chosen: Mapping[str, str], organization_id: str, event_id: str, now: datetime
) -> list[Record]:
    if TOO_MANY in row:
        raise InvalidError("has more cells than the header; quote those that hold a comma")
    given = customer_rows.fields(row, chosen)
    changes = changes_of(given.pop("customer_id"), given, event_id, always=True, where="import")
    return [record(organization_id, "import", change, now) for change in changes]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )

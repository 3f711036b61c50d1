"""An import of customers: rows of a CSV in, events of the contract out. The command and the console both do it so."""

from __future__ import annotations

import csv
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TextIO

from kafka.errors import KafkaError

from services.admin import customer_rows
from services.admin.customer_edits import changes_of
from services.admin.customer_events import Record, record
from services.admin.publisher import connect
from shared.errors import InvalidError, TransientError
from shared.kafka import Topic
from shared.settings import Settings

IN_FLIGHT = 5_000
ACKNOWLEDGE_SECONDS = 30.0
FIRST_ROW = 2  # as a spreadsheet counts: the header is row 1
TOO_MANY = "\0"  # where DictReader puts cells beyond the header; no column is called so


def header(text: TextIO) -> list[str]:
    """The names of the columns. Raises InvalidError (`FILE`)."""
    try:
        return next(csv.reader(text, strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(0, error) from error


def outcomes(
    text: TextIO, organization_id: str, mapping: list[str], now: datetime, *, by_name: bool = True
) -> Iterator[tuple[int, list[Record] | InvalidError]]:
    """For each row its number, and its events or what is wrong.

    Raises InvalidError for what the whole file lacks: `FILE`, or `--map` (`customer_rows.columns`).
    """
    name, number = uuid.uuid4().hex, FIRST_ROW - 1
    reader = csv.DictReader(text, restkey=TOO_MANY, strict=True)
    try:
        chosen = customer_rows.columns(list(reader.fieldnames or ()), mapping, by_name=by_name)
        for number, row in enumerate(reader, FIRST_ROW):
            try:
                yield number, _records(row, chosen, organization_id, f"{name}-{number}", now)
            except InvalidError as error:
                yield number, error
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(number, error) from error


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


def _records(
    row: Mapping[str, str | None], chosen: Mapping[str, str], organization_id: str, event_id: str, now: datetime
) -> list[Record]:
    if TOO_MANY in row:
        raise InvalidError("has more cells than the header; quote those that hold a comma")
    given = customer_rows.fields(row, chosen)
    changes = changes_of(given.pop("customer_id"), given, event_id, always=True, where="import")
    return [record(organization_id, "import", change, now) for change in changes]


def _unreadable(row: int, error: Exception) -> InvalidError:
    return InvalidError(f"cannot be read after row {row}: {error}. Save it as CSV in UTF-8", "FILE")

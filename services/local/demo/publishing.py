"""The year into Kafka, and the wait until the stats show it: two bars that move side by side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from services.local.demo import figures
from services.local.demo.organization import ORGANIZATION_ID
from services.local.demo.year import Record, Year
from shared.errors import RegularsError
from shared.kafka import producer
from shared.settings import Settings

LINGER_MS = 5
DELIVERY_MS = 120_000  # Kafka may be started again meanwhile
IN_FLIGHT = 20_000
SHOW_EVERY = 4_000
POLL_SECONDS = 0.2
STUCK_SECONDS = 60.0


def bring_in(year: Year, settings: Settings, store: Engine, console: Console) -> float:
    """Publish every event of the year and return when the stats show all: the seconds that took.

    Raises RegularsError when Kafka or the segmenter does not go on.
    """
    began = time.monotonic()
    with _bars(console) as bars:
        published, counted = (bars.add_task(name, total=len(year), rate="") for name in ("published", "counted"))
        for acknowledged in _acknowledged(year.events(), settings):
            _show(bars, published, acknowledged, began)
            _show(bars, counted, figures.read(store, ORGANIZATION_ID).events, began)
        moved, before = time.monotonic(), 0
        while (now := figures.read(store, ORGANIZATION_ID).events) < len(year):
            _show(bars, counted, now, began)
            if now > before:
                moved, before = time.monotonic(), now
            elif time.monotonic() - moved > STUCK_SECONDS:
                raise RegularsError(
                    f"The stats stand at {now:,} of {len(year):,} events since {STUCK_SECONDS:.0f} s. "
                    "`regulars dead-letters list` and logs/segmenter.log tell why."
                )
            time.sleep(POLL_SECONDS)
        _show(bars, counted, len(year), began)
    return time.monotonic() - began


def _acknowledged(records: Iterable[Record], settings: Settings) -> Iterator[int]:
    """Publish the records; yields now and then how many Kafka holds, at last that it holds all."""
    sender: KafkaProducer = producer(
        settings, linger_ms=LINGER_MS, delivery_timeout_ms=DELIVERY_MS, metrics_enabled=False
    )
    flying: deque[Any] = deque()
    count = 0
    try:
        for count, record in enumerate(records, start=1):
            flying.append(sender.send(settings.topic_prefix + record.topic, record.value, record.key))
            if len(flying) >= IN_FLIGHT:
                flying.popleft().get()
            if count % SHOW_EVERY == 0:
                yield count - len(flying)
        while flying:
            flying.popleft().get()
        yield count
    except KafkaError as error:
        raise RegularsError(
            f"Kafka does not take the year ({error}). `regulars demo` goes on where it stopped: each event counts once."
        ) from error
    finally:
        sender.close(None if not flying else 0)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description:<9}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=console,
    )


def _show(bars: Progress, task: TaskID, events: int, began: float) -> None:
    bars.update(
        task,
        completed=min(events, bars.tasks[task].total or events),
        rate=f"{events / max(time.monotonic() - began, 1e-3):7,.0f}/s",
    )

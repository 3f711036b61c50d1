"""Segment entries off Kafka: from bytes to planned messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError

from services.mailer.automations import Entry, plan_entries
from shared import metrics
from shared.clock import Clock
from shared.database.channels import MESSAGES, notify
from shared.domain.events import SegmentEntered, decode, id_of
from shared.errors import InvalidError
from shared.logging import logger
from shared.topics import Topic

log = logger(__name__)


class Follower:
    """Plans the messages that follow from segment events. Taking the same events again changes nothing."""

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def take(self, values: Iterable[bytes | None]) -> None:
        """What cannot be read or stored is logged and counted. Raises any other error: give the events again."""
        entries = [entry for entry in map(self._read, values) if entry is not None]
        entries.sort(key=attrgetter("organization_id"))  # stable: a customer's entries stay in order
        for organization_id, those in groupby(entries, key=attrgetter("organization_id")):
            self._plan(organization_id, list(those))

    def _read(self, value: bytes | None) -> Entry | None:
        try:
            event = decode(value or b"", self._clock())
        except InvalidError as error:
            log.warning("segment_event.unreadable", event_id=id_of(value or b""), why=str(error))
            metrics.events.labels(Topic.SEGMENTS.value, "", "rejected").inc()
            return None
        if not isinstance(event, SegmentEntered):
            return None
        data = event.data
        return Entry(event.id, data.organization_id, data.customer_id, data.segment_id, data.at, data.cause)

    def _plan(self, organization_id: str, entries: Sequence[Entry]) -> None:
        try:
            with self._database.begin() as connection:
                planned = plan_entries(connection, organization_id, entries, self._clock())
                if planned:
                    notify(connection, MESSAGES, organization_id)
        except (DataError, IntegrityError) as error:
            if len(entries) > 1:  # one of them is to blame: the others shall not suffer
                for entry in entries:
                    self._plan(organization_id, [entry])
                return
            event_id, why = entries[0].event_id, str(error.orig)
            log.error("segment_event.refused", organization_id=organization_id, event_id=event_id, why=why)  # noqa: TRY400 - the parameters hold personal data
            metrics.events.labels(Topic.SEGMENTS.value, "segment.entered", "rejected").inc()
            return
        log.debug("entries.taken", event_ids=[entry.event_id for entry in entries], planned=planned)
        if planned:
            metrics.mails.labels("planned", "").inc(planned)
        metrics.events.labels(Topic.SEGMENTS.value, "segment.entered", "accepted").inc(len(entries))

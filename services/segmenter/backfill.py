"""Fills new and edited segments in the background, and clears deleted ones, while the stream goes on.

Every batch reads the segments after taking the organization's lock, shared. A fill takes it alone, for a part of the
customers at a time: from the first part on, every batch knows the segment, and each customer is right either by an
event or by the fill, whichever comes first. Nobody judges a customer meanwhile, so the fill's instant is the latest.
A fill that is killed begins anew: what is right already changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from services.segmenter import fill
from services.segmenter.fill import Pages
from services.segmenter.listener import Listener
from services.segmenter.moves import Moves
from services.segmenter.pair import Pair
from services.segmenter.program import Program, Programs, Segment
from services.segmenter.staging import Connection
from shared import metrics
from shared.clock import Clock, utc_now
from shared.database.channels import OUTBOX, SEGMENTS
from shared.database.locks import ALONE, SHARE
from shared.database.tables.segments import PLACES
from shared.domain.criteria.windows import series_of
from shared.logging import logger
from shared.settings import SegmenterSettings

log = logger(__name__)
FIRST_PAGES = 2_000
LONGEST = 0.12  # seconds that a part should take: events wait for it
AT_FIRST = 0.25, 4  # and the first few parts: a fill that is soon over holds nobody up for long
AT_ONCE = 5_000  # customers, where memory is asked
OPEN = """
SELECT s.organization_id, o.time_zone, s.segment_id, s.state, s.slot, s.version
FROM segment s JOIN organization o USING (organization_id)
WHERE s.state IN ('filling', 'deleting') ORDER BY s.organization_id, s.created_at, s.segment_id
"""
PAGES = "SELECT pg_relation_size('customer') / current_setting('block_size')::int"
SIZE = "SELECT count(*) FROM customer WHERE organization_id = %s"
PROGRESS = """
UPDATE segment SET progress = %s WHERE organization_id = %s AND segment_id = %s AND version = %s AND state = 'filling'
"""
LIVE = """
UPDATE segment SET state = 'live', progress = 1
WHERE organization_id = %s AND segment_id = %s AND version = %s AND state = 'filling'
"""
# Its name is needed until no change that is still to be published names it.
REMOVE = f"""
DELETE FROM segment WHERE organization_id = %(organization_id)s AND segment_id = %(segment_id)s AND state = 'deleting'
AND NOT EXISTS (
    SELECT FROM outbox o JOIN segment_change c ON c.organization_id = o.organization_id
    AND c.change_id >= o.batch_id << {PLACES} AND c.change_id < (o.batch_id + 1) << {PLACES}
    WHERE o.organization_id = %(organization_id)s AND %(segment_id)s = ANY(c.entered || c."left"))
"""
REMOVE_LIST = "DELETE FROM static_member WHERE organization_id = %s AND segment_id = %s"
REMOVE_DAYS = "DELETE FROM segment_day WHERE organization_id = %s AND segment_id = %s"


class Backfill(Listener):
    """One at a time over all processes: the lock of the segment's organization decides."""

    channel = SEGMENTS

    def __init__(self, settings: SegmenterSettings, clock: Clock = utc_now) -> None:
        super().__init__(settings)
        self.clock = clock
        self.pair = Pair(settings)

    def end(self) -> None:
        self.pair.end()

    def work(self, connection: Connection) -> float:
        for organization_id, time_zone, segment_id, state, slot, version in connection.execute(OPEN).fetchall():
            claim = [f"regulars fill {organization_id}"]
            if connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", claim).fetchone() != (True,):
                continue
            try:
                if state == "deleting":
                    self._clear(connection, organization_id, segment_id, slot)
                else:
                    self._fill(connection, organization_id, time_zone, segment_id, version)
            finally:
                connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", claim)
        return 5.0

    def _fill(
        self, connection: Connection, organization_id: str, time_zone: str, segment_id: str, version: int
    ) -> None:
        programs = Programs()
        segment = _still(programs.of(connection, organization_id, time_zone), segment_id, version)
        if segment is None:
            return  # unreadable, or already changed again: the next round sees to it
        is_added_up = segment.criteria is not None and bool(series_of(segment.criteria.leaves()))
        parts = self._by_customers if is_added_up else self._by_pages
        for progress in parts(connection, programs, (organization_id, time_zone), segment):
            # A transaction of its own: counters are locked in the order of their ids, never after this one.
            at_present = [min(progress, 0.999), organization_id, segment_id, version]
            if self.ending.is_set() or connection.execute(PROGRESS, at_present).rowcount == 0:
                return  # deleted or edited meanwhile: the next round sees to it
        connection.execute(LIVE, [organization_id, segment_id, version])
        connection.execute("SELECT pg_notify(%s, '')", [OUTBOX])  # the relay waited
        log.info("segment.filled", organization=organization_id, segment=segment_id)

    def _by_pages(
        self, connection: Connection, programs: Programs, whose: tuple[str, str], segment: Segment
    ) -> Iterator[float]:
        """Gives how much is done, part by part. Rows that came after the first lock are right by their own events."""
        walk = Walk()
        while walk.first < walk.total:
            with connection.transaction():
                connection.execute(ALONE, [whose[0]])
                started = time.perf_counter()
                if walk.first == 0:
                    row = connection.execute(PAGES).fetchone()
                    walk.total = int(row[0]) if row else 0
                now = self.clock()
                program = programs.of(connection, *whose)
                if _still(program, segment.segment_id, segment.version) is None:
                    return
                moves = self.pair.fill(connection, program, segment, walk.pages(), now)
            _measure(moves)
            yield walk.took(time.perf_counter() - started)

    def _by_customers(
        self, connection: Connection, programs: Programs, whose: tuple[str, str], segment: Segment
    ) -> Iterator[float]:
        _wait_for_old_batches(connection, whose[0])
        row = connection.execute(SIZE, [whose[0]]).fetchone()
        size = max(int(row[0]) if row else 0, 1)
        last, done = "", 0
        while True:
            with connection.transaction():
                connection.execute(SHARE, [whose[0]])
                program = programs.of(connection, *whose)
                if _still(program, segment.segment_id, segment.version) is None:
                    return
                found, number, moves = fill.by_customers(connection, program, segment, last, AT_ONCE, self.clock)
                moves.finish(connection, self.clock())
            if found is None:
                return
            last, done = found, done + number
            _measure(moves)
            yield done / size

    def _clear(self, connection: Connection, organization_id: str, segment_id: str, slot: int) -> None:
        _wait_for_old_batches(connection, organization_id)
        last: str | None = ""
        while last is not None and not self.ending.is_set():
            with connection.transaction():
                connection.execute(SHARE, [organization_id])
                last = fill.clear(connection, organization_id, slot, last, AT_ONCE)
        if last is None:
            with connection.transaction():
                connection.execute(REMOVE_LIST, [organization_id, segment_id])
                connection.execute(REMOVE_DAYS, [organization_id, segment_id])
                known = {"organization_id": organization_id, "slot": slot, "segment_id": segment_id}
                connection.execute(REMOVE, known)


@dataclass
class Walk:
    """Through the `total` pages of the customer table, as many at a time as take LONGEST."""

    total: int = 1
    first: int = 0
    number: int = FIRST_PAGES
    parts: int = 0

    def pages(self) -> Pages:
        return Pages(self.first, min(self.number, self.total - self.first))

    def took(self, seconds: float) -> float:
        """Go on after a part that took so long; gives the share that is done."""
        self.first += self.number
        self.parts += 1
        fit = self.number * (AT_FIRST[0] if self.parts < AT_FIRST[1] else LONGEST) / max(seconds, 0.001)
        self.number = int(min(max(fit, self.number / 4, 50), self.number * 16))
        return self.first / max(self.total, 1)


def _wait_for_old_batches(connection: Connection, organization_id: str) -> None:
    """Return once every batch that does not know the segment as it is now has ended."""
    with connection.transaction():
        connection.execute(ALONE, [organization_id])


def _still(program: Program, segment_id: str, version: int) -> Segment | None:
    """The segment, if it is yet to be filled and its criteria are still those."""
    for segment in program.segments:
        if (segment.segment_id, segment.version) == (segment_id, version) and segment.state == "filling":
            return segment
    return None


def _measure(moves: Moves) -> None:
    metrics.segment_changes.labels("entered").inc(moves.entered)
    metrics.segment_changes.labels("left").inc(moves.left)

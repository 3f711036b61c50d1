"""Fills new and edited segments in the background, and clears deleted ones, while the stream goes on.

Every batch reads the segments after taking the organization's lock, shared. Taking it alone once, after a segment was
saved, so waits for the batches that do not know it yet; from then on each customer is right either by an event or by
the fill, whichever comes first. A fill that is killed begins anew: what is right already changes nothing.
"""

from __future__ import annotations

from services.segmenter import memberships
from services.segmenter.batch import ALONE, SHARE
from services.segmenter.listener import Listener
from services.segmenter.memberships import Moves
from services.segmenter.program import Programs
from services.segmenter.staging import Connection
from shared import metrics
from shared.clock import utc_now
from shared.logging import logger

log = logger(__name__)
AT_ONCE = 5_000
OPEN = """
SELECT s.organization_id, o.time_zone, s.segment_id, s.state, s.slot, s.version
FROM segment s JOIN organization o USING (organization_id)
WHERE s.state IN ('filling', 'deleting') ORDER BY s.organization_id, s.created_at, s.segment_id
"""
CHUNK = """
WITH chunk AS (
    SELECT organization_id, customer_id FROM customer
    WHERE organization_id = %(organization_id)s AND customer_id > %(after)s ORDER BY customer_id LIMIT %(at_once)s
), marked AS (
    INSERT INTO touched SELECT organization_id, customer_id FROM chunk
)
SELECT max(customer_id), count(*) FROM chunk
"""
SIZE = "SELECT count(*) FROM customer WHERE organization_id = %s"
PROGRESS = """
UPDATE segment SET progress = %s WHERE organization_id = %s AND segment_id = %s AND version = %s AND state = 'filling'
"""
LIVE = """
UPDATE segment SET state = 'live', progress = 1
WHERE organization_id = %s AND segment_id = %s AND version = %s AND state = 'filling'
"""
CLEAR = """
UPDATE customer SET memberships = set_bit(memberships, %(slot)s, 0)
WHERE organization_id = %(organization_id)s AND customer_id IN (
    SELECT customer_id FROM customer
    WHERE organization_id = %(organization_id)s
      AND CASE WHEN length(memberships) > %(slot)s / 8 THEN get_bit(memberships, %(slot)s) = 1 ELSE false END
    ORDER BY customer_id LIMIT %(at_once)s FOR UPDATE)
"""
# Its slot is free again only when no change that is still to be published names it.
REMOVE = """
DELETE FROM segment WHERE organization_id = %(organization_id)s AND segment_id = %(segment_id)s AND state = 'deleting'
AND NOT EXISTS (
    SELECT FROM outbox WHERE organization_id = %(organization_id)s AND CASE WHEN length(entered) > %(slot)s / 8
    THEN get_bit(entered, %(slot)s) = 1 OR get_bit("left", %(slot)s) = 1 ELSE false END)
"""
REMOVE_LIST = "DELETE FROM static_member WHERE organization_id = %s AND segment_id = %s"
REMOVE_DAYS = "DELETE FROM segment_day WHERE organization_id = %s AND segment_id = %s"


class Backfill(Listener):
    """One at a time over all processes: the lock of the segment's organization decides."""

    channel = "regulars_segments"

    def work(self, connection: Connection) -> float:
        for organization_id, time_zone, segment_id, state, slot, version in connection.execute(OPEN).fetchall():
            claim = [f"regulars fill {organization_id}"]
            if connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", claim).fetchone() != (True,):
                continue
            try:
                self._wait_for_old_batches(connection, organization_id)
                if state == "deleting":
                    self._clear(connection, organization_id, segment_id, slot)
                else:
                    self._fill(connection, organization_id, time_zone, segment_id, version)
            finally:
                connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", claim)
        return 5.0

    @staticmethod
    def _wait_for_old_batches(connection: Connection, organization_id: str) -> None:
        with connection.transaction():
            connection.execute(ALONE, [organization_id])

    def _fill(
        self, connection: Connection, organization_id: str, time_zone: str, segment_id: str, version: int
    ) -> None:
        row = connection.execute(SIZE, [organization_id]).fetchone()
        size = max(int(row[0]) if row else 0, 1)
        programs, after, done = Programs(), "", 0
        while not self.ending.is_set():
            moves = Moves()
            with connection.transaction():
                connection.execute(SHARE, [organization_id])
                program = programs.of(connection, organization_id, time_zone)
                known = {"organization_id": organization_id, "after": after, "at_once": AT_ONCE}
                last, number = connection.execute(CHUNK, known).fetchone() or (None, 0)
                if last is None:
                    connection.execute(LIVE, [organization_id, segment_id, version])
                    log.info("segment.filled", organization=organization_id, segment=segment_id)
                    return
                memberships.refresh(connection, program, utc_now, "event", moves, is_due=True)
                memberships.finish(connection, moves, utc_now())
            after, done = last, done + number
            # A transaction of its own: counters are locked in the order of their ids, never after this one.
            at_present = [min(done / size, 0.999), organization_id, segment_id, version]
            if connection.execute(PROGRESS, at_present).rowcount == 0:
                return  # deleted or edited meanwhile: the next round sees to it
            metrics.segment_changes.labels("entered").inc(moves.entered)
            metrics.segment_changes.labels("left").inc(moves.left)

    def _clear(self, connection: Connection, organization_id: str, segment_id: str, slot: int) -> None:
        while not self.ending.is_set():
            with connection.transaction():
                connection.execute(SHARE, [organization_id])
                known = {"organization_id": organization_id, "slot": slot, "at_once": AT_ONCE}
                if connection.execute(CLEAR, known).rowcount == 0:
                    connection.execute(REMOVE_LIST, [organization_id, segment_id])
                    connection.execute(REMOVE_DAYS, [organization_id, segment_id])
                    connection.execute(REMOVE, known | {"segment_id": segment_id})
                    return

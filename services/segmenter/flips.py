"""The timer: looks at customers again at the instant at which time alone can move one of their memberships.

It sleeps until the next due instant and is woken when an earlier one comes up. Several may run: each takes what no
other has locked. After a standstill it catches up, in the order of the instants.
"""

from __future__ import annotations

from datetime import datetime

from services.segmenter import forgetting, memberships
from services.segmenter.listener import LONGEST_WAIT, Listener
from services.segmenter.moves import Moves
from services.segmenter.program import Programs
from services.segmenter.staging import Connection
from shared import metrics
from shared.clock import Clock, utc_now
from shared.database.channels import FLIPS
from shared.database.locks import SHARE
from shared.settings import SegmenterSettings

AT_ONCE = 2_000
NEXT = """
SELECT min(f.due_at) FROM organization o
CROSS JOIN LATERAL (SELECT due_at FROM flip WHERE flip.organization_id = o.organization_id ORDER BY due_at LIMIT 1) f
"""
# The organization whose flip is due longest.
DUE = """
SELECT o.organization_id, o.time_zone FROM organization o
CROSS JOIN LATERAL (SELECT due_at FROM flip WHERE flip.organization_id = o.organization_id ORDER BY due_at LIMIT 1) f
WHERE f.due_at <= %s ORDER BY f.due_at
"""
# By their places, which a lock holds: by key, PostgreSQL may look through all that are not due.
TAKE = """
DELETE FROM flip WHERE organization_id = %(organization_id)s AND ctid = ANY(ARRAY(
    SELECT ctid FROM flip WHERE organization_id = %(organization_id)s AND due_at <= %(now)s
    ORDER BY due_at LIMIT %(at_once)s FOR UPDATE SKIP LOCKED))
RETURNING customer_id, cause, due_at
"""


class Flips(Listener):
    """Carries out what time has made due."""

    channel = FLIPS

    def __init__(self, settings: SegmenterSettings, clock: Clock = utc_now) -> None:
        super().__init__(settings)
        self.clock = clock

    def work(self, connection: Connection) -> float:
        programs = Programs()
        while not self.ending.is_set():
            now = self.clock()
            due = connection.execute(DUE, [now]).fetchall()
            if not sum(self._flip(connection, programs, *organization) for organization in due):
                break
        row = connection.execute(NEXT).fetchone()
        if row is None or row[0] is None:
            return LONGEST_WAIT
        # Not before the instant, even by the clock's last digit.
        return float(max(0.0, (row[0] - self.clock()).total_seconds()) + 0.000_5)

    def _flip(self, connection: Connection, programs: Programs, organization_id: str, time_zone: str) -> int:
        moves = Moves()
        with connection.transaction():
            connection.execute(SHARE, [organization_id])
            now = self.clock()
            known = {"organization_id": organization_id, "now": now, "at_once": AT_ONCE}
            taken = connection.execute(TAKE, known).fetchall()
            if erased := [row[0] for row in taken if row[1] == "erasure"]:
                forgetting.finish(connection, organization_id, erased, now)
            if taken:
                program = programs.of(connection, organization_id, time_zone)
                cause = "edit" if all(row[1] == "edit" for row in taken) else "time"
                ids = sorted({row[0] for row in taken})
                memberships.refresh(connection, program, ids, self.clock, cause, moves, is_due=True, is_locked=False)
                moves.finish(connection, now)
        self._measure([row[2] for row in taken if row[1] == "time"], moves)
        return len(taken)

    def _measure(self, due: list[datetime], moves: Moves) -> None:
        stored = self.clock()
        for instant in due:
            metrics.flip_delay.observe((stored - instant).total_seconds())
        metrics.segment_changes.labels("entered").inc(moves.entered)
        metrics.segment_changes.labels("left").inc(moves.left)

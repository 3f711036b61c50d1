"""Two connections that fill a part of an organization's customers side by side: PostgreSQL gives each a core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import psycopg

from services.segmenter import fill
from services.segmenter.fill import Pages
from services.segmenter.moves import Moves
from services.segmenter.program import Program, Segment
from services.segmenter.staging import Connection
from shared.database.engine import connect
from shared.settings import SegmenterSettings

WORTH_IT = 400  # pages: for fewer, waiting for each other costs more


class Pair:
    """The connection that holds the organization's lock, and a second one that works under it.

    What the second one wrote is committed first, with its counters. If the first one fails then, the fill begins anew,
    and finds those customers right.
    """

    def __init__(self, settings: SegmenterSettings) -> None:
        self.settings = settings
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="regulars_fill")
        self.second: Connection | None = None

    def fill(self, connection: Connection, program: Program, segment: Segment, pages: Pages, now: datetime) -> Moves:
        """As `fill.by_pages`, and the counters. To be called in a transaction that has the organization alone."""
        if pages.number < WORTH_IT:
            return _fill(connection, program, segment, pages, now)
        half = pages.number // 2
        theirs = self.thread.submit(self._help, program, segment, Pages(pages.first + half, pages.number - half), now)
        try:
            moves = fill.by_pages(connection, program, segment, Pages(pages.first, half), now)
        finally:
            helped = theirs.result()  # whatever became of ours: nobody goes on without the lock
        moves.finish(connection, now)
        moves.entered += helped.entered
        moves.left += helped.left
        return moves

    def end(self) -> None:
        self.thread.shutdown()
        self._let_go()

    def _help(self, program: Program, segment: Segment, pages: Pages, now: datetime) -> Moves:
        self.second = self.second or connect(self.settings.database, autocommit=True)
        try:
            with self.second.transaction():
                return _fill(self.second, program, segment, pages, now)
        except psycopg.Error:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self.second is not None:
            self.second.close()
            self.second = None


def _fill(connection: Connection, program: Program, segment: Segment, pages: Pages, now: datetime) -> Moves:
    moves = fill.by_pages(connection, program, segment, pages, now)
    moves.finish(connection, now)
    return moves

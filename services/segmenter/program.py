"""The segments of an organization, made ready to be evaluated."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.segmenter import parameters
from services.segmenter.recent import Lately
from services.segmenter.staging import Connection
from shared.domain.criteria import Criteria, Leaf, parse
from shared.domain.criteria.history import Series
from shared.domain.criteria.tree import Plan
from shared.domain.criteria.windows import series_of
from shared.errors import InvalidError
from shared.logging import logger

log = logger(__name__)

# Changes whenever any segment is made, edited, filled or deleted.
FINGERPRINT = """
SELECT md5(coalesce(string_agg(concat_ws(' ', segment_id, version, state, slot), ',' ORDER BY segment_id), ''))
FROM segment WHERE organization_id = %s
"""
READ = """
SELECT segment_id, kind, criteria, slot, state, version FROM segment
WHERE organization_id = %s AND state <> 'deleting' ORDER BY segment_id
"""


@dataclass(frozen=True)
class Segment:
    """A segment as the evaluation needs it; `criteria` is None for a static one."""

    segment_id: str
    slot: int
    criteria: Criteria | None
    state: str
    version: int

    @property
    def cause(self) -> str | None:
        """Why members move while it is being filled; None once it is live."""
        if self.state == "live":
            return None
        return "backfill" if self.version == 1 else "edit"


@dataclass(frozen=True)
class Program:
    """All segments of an organization; those of them that somebody asks about, if not `is_whole`."""

    organization_id: str
    time_zone: str
    fingerprint: str
    segments: tuple[Segment, ...]
    is_whole: bool = True

    @cached_property
    def width(self) -> int:
        """Bytes that a customer's memberships take."""
        return max((segment.slot for segment in self.segments), default=-1) // 8 + 1

    @cached_property
    def columns(self) -> frozenset[str]:
        found = frozenset().union(*(segment.criteria.columns for segment in self.segments if segment.criteria))
        return found | {"recent"} if self.lately and self.is_whole else found

    @cached_property
    def leaves(self) -> frozenset[Leaf]:
        return frozenset().union(*(segment.criteria.leaves() for segment in self.segments if segment.criteria))

    @cached_property
    def series(self) -> dict[Series, int | None]:
        """What of customers' history the segments look at, and how many days of it; None for all."""
        return series_of(self.leaves)

    @cached_property
    def lately(self) -> Lately | None:
        """What of it customers' rows keep."""
        return Lately.of(self.series)

    @cached_property
    def static_slots(self) -> dict[str, int]:
        """Of static segments, by id."""
        return {segment.segment_id: segment.slot for segment in self.segments if segment.criteria is None}

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which bits of a customer's memberships are segments'."""
        bits = np.zeros(self.width * 8, np.bool_)
        bits[[segment.slot for segment in self.segments]] = True
        return bits

    @cached_property
    def segment_ids(self) -> dict[int, str]:
        """By slot."""
        return {segment.slot: segment.segment_id for segment in self.segments}

    @cached_property
    def dynamic(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.criteria is not None]

    @cached_property
    def plan(self) -> Plan:
        """Of the dynamic segments, in their order."""
        return Plan([segment.criteria for segment in self.segments if segment.criteria is not None])

    @cached_property
    def _elements(self) -> list[bytes]:
        """Each slot's segment as an element of a text[]."""
        return [parameters.element(self.segment_ids.get(slot, "")) for slot in range(self.width * 8)]

    def lists(self, bits: npt.NDArray[np.bool_]) -> list[bytes]:
        """For each row the ids of the segments whose bits are set, as a text[] in PostgreSQL's binary form."""
        rows, places = np.nonzero(bits & self.mask)
        bounds = np.searchsorted(rows, np.arange(len(bits) + 1)).tolist()
        elements = [self._elements[place] for place in places.tolist()]
        return [parameters.texts_raw(elements[first:end]) for first, end in itertools.pairwise(bounds)]

    @cached_property
    def causes(self) -> dict[int, str]:
        """By slot, of the segments that are being filled."""
        return {segment.slot: segment.cause for segment in self.segments if segment.cause}


class Programs:
    """Programs by organization, compiled anew only when a segment changed. Ask within the batch's transaction."""

    def __init__(self) -> None:
        self._known: dict[str, Program] = {}

    def of(self, connection: Connection, organization_id: str, time_zone: str) -> Program:
        row = connection.execute(FINGERPRINT, [organization_id]).fetchone()
        fingerprint = str(row[0]) if row else ""
        known = self._known.get(organization_id)
        if known is None or (known.fingerprint, known.time_zone) != (fingerprint, time_zone):
            rows = connection.execute(READ, [organization_id]).fetchall()
            segments = tuple(segment for row in rows if (segment := _segment(*row)) is not None)
            known = self._known[organization_id] = Program(organization_id, time_zone, fingerprint, segments)
        return known


def _segment(segment_id: str, kind: str, criteria: object, slot: int, state: str, version: int) -> Segment | None:  # noqa: PLR0917
    """None for criteria that this version cannot read: their members stay as they are, and nothing else stops."""
    try:
        return Segment(segment_id, slot, parse(criteria) if kind == "dynamic" else None, state, version)
    except InvalidError as error:
        log.error("segment.unreadable", segment=segment_id, why=str(error))  # noqa: TRY400 - the reason says it all
        return None

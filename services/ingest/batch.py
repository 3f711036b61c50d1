"""What of a terminal's batch is good. A decision without I/O: events and what is known go in, a verdict comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from services.ingest.records import Record
from shared.domain.events import Reason, TillEvent, decode_till, id_of, kafka_key, topic_of
from shared.errors import InvalidError


class Rejection(msgspec.Struct, frozen=True):
    """An event that was not accepted: its place in the request, its id where it has one, the field and what to do."""

    index: int
    id: str | None
    reason: str


@dataclass(slots=True)
class Verdict:
    """`kinds` counts the accepted by type, `codes` the rejected by code."""

    accepted: list[Record] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def is_foreign(self) -> bool:
        """Whether every single event belongs to another organization than the key."""
        return not self.accepted and set(self.codes) == {Reason.WRONG_ORGANIZATION}


def judge(events: Sequence[bytes], organization_id: str, currency: str | None, now: datetime) -> Verdict:
    """Part good events from bad ones. None as `currency` lets any pass."""
    verdict = Verdict()
    for index, raw in enumerate(events):
        try:
            event = decode_till(raw, now)
            _check(event, organization_id, currency)
        except InvalidError as error:
            verdict.rejected.append(Rejection(index, id_of(raw), str(error)))
            verdict.codes[error.code] += 1
            continue
        kind = event.type
        verdict.accepted.append(Record(topic_of(kind), kafka_key(event), raw))
        verdict.kinds[kind] += 1
    return verdict


def _check(event: TillEvent, organization_id: str, currency: str | None) -> None:
    data = event.data
    if data.organization_id != organization_id:
        raise InvalidError(
            f'must be "{organization_id}", the organization of the key; got "{data.organization_id}"',
            "data.organization_id",
            Reason.WRONG_ORGANIZATION,
        )
    given = getattr(data, "currency", None)
    if given is not None and currency is not None and given != currency:
        raise InvalidError(
            f'must be "{currency}", the currency of the organization; got "{given}"',
            "data.currency",
            Reason.WRONG_CURRENCY,
        )

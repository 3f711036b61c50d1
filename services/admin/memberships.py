"""Memberships as they are stored: one bit a segment on the customer's row, least significant bit first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, select

from shared.database.tables import segment


class Label(NamedTuple):
    """How a segment is shown beside a customer."""

    name: str
    color: str


def ids(memberships: bytes, slots: Mapping[int, str]) -> list[str]:
    """The segments whose bits are set, by id. Bits of segments that are going away are skipped."""
    bits = int.from_bytes(memberships, "little")
    found = []
    while bits:
        lowest = bits & -bits
        segment_id = slots.get(lowest.bit_length() - 1)
        if segment_id is not None:
            found.append(segment_id)
        bits ^= lowest
    return sorted(found)


def slots(connection: Connection, organization_id: str) -> dict[int, str]:
    """Slot to segment id, of the segments that are there to be seen."""
    wanted = select(segment.c.slot, segment.c.segment_id).where(
        segment.c.organization_id == organization_id, segment.c.state != "deleting"
    )
    return {row.slot: row.segment_id for row in connection.execute(wanted)}


def labels(connection: Connection, organization_id: str, kind: str | None = None) -> dict[str, Label]:
    """Segment id to name and color, of the same ones, by name; `kind` takes the dynamic or the static ones only."""
    wanted = select(segment.c.segment_id, segment.c.name, segment.c.color).where(
        segment.c.organization_id == organization_id, segment.c.state != "deleting"
    )
    if kind is not None:
        wanted = wanted.where(segment.c.kind == kind)
    rows = connection.execute(wanted.order_by(segment.c.name))
    return {row.segment_id: Label(row.name, row.color) for row in rows}

"""Telling the other services that something of theirs changed: they wake at once instead of looking again and again."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, func, select

Channel = Literal["regulars_segments", "regulars_campaigns"]


def announce(connection: Connection, channel: Channel, organization_id: str) -> None:
    """NOTIFY with the organization's id; it goes out when the transaction commits."""
    connection.execute(select(func.pg_notify(channel, organization_id)))

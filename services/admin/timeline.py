"""What happened to a customer: sales, coupons, changes of profile and consent, segments, mail; newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

from services.admin import customers
from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.tables import campaign, ledger, message, segment_change

OF_EVENTS = ("sale_id", "entry", "store_id", "terminal_id", "amount", "discount", "lines", "payload")
# A person's opens and clicks stand in the ledger, each of them.
OF_MAILS = ("sent", "delivered", "machine_opened", "bounced", "complained", "unsubscribed")


class Happening(BaseModel):
    """One entry."""

    at: Instant
    type: str = Field(description="An event's, such as sale.completed, segment.entered or mail.opened.")
    id: str
    detail: dict[str, Any]


def page(
    connection: Connection, organization_id: str, customer_id: str, limit: int, cursor: str | None
) -> Page[Happening]:
    """Newest first; what happened at one instant in a stable order, segments after the event that moved them."""
    whose = (organization_id, customers.names(connection, organization_id, customer_id))
    parts = [
        _events(*whose),
        *(_moves(*whose, way) for way in ("entered", "left")),
        *(_mails(*whose, state) for state in OF_MAILS),
    ]
    entries = union_all(*parts).subquery()
    wanted = select(entries).order_by(entries.c.at.desc(), entries.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        at, last = read_cursor(cursor, datetime, str)
        wanted = wanted.where(tuple_(entries.c.at, entries.c.id) < tuple_(literal(at), literal(last)))
    items = [Happening.model_validate(dict(row)) for row in connection.execute(wanted).mappings()]
    return cut(items, limit, lambda item: (item.at, item.id))


def _events(organization_id: str, names: Sequence[str]) -> Select[Any]:
    # As JSON, so that no source and id together can look like another pair.
    identity = func.concat("event ", func.jsonb_build_array(ledger.c.source, ledger.c.event_id))
    told: dict[str, ColumnElement[Any]] = {name: ledger.c[name] for name in OF_EVENTS} | {
        "lines": cast(ledger.c.lines, JSON)
    }
    of_mail = {name: ledger.c.payload[name].astext for name in ("campaign_id", "message_id", "link")}
    told |= of_mail | {"campaign": _campaign_of(ledger, of_mail["campaign_id"])}
    told["payload"] = case((ledger.c.type.in_(("mail.opened", "mail.clicked")), null()), else_=ledger.c.payload)
    detail = _object(told)
    return _entry(ledger.c.occurred_at, ledger.c.type, identity, detail).where(_is(ledger, organization_id, names))


def _moves(organization_id: str, names: Sequence[str], way: str) -> Select[Any]:
    """Segments entered or left, once the change is published (milliseconds after it)."""
    table = segment_change
    segment_id = func.unnest(table.c[way]).column_valued("segment_id", joins_implicitly=True)
    identity = func.concat("segment ", func.lpad(cast(table.c.change_id, Text), 19, "0"), " ", segment_id)
    detail = _object({"segment_id": segment_id, "cause": table.c.cause})
    entry = _entry(table.c.at, literal(f"segment.{way}"), identity, detail)
    return entry.where(_is(table, organization_id, names))


def _mails(organization_id: str, names: Sequence[str], state: str) -> Select[Any]:
    at = message.c[f"{state}_at"]
    identity = func.concat("mail ", message.c.message_id, f" {state}")
    name = _campaign_of(message, message.c.campaign_id)
    told = {"campaign_id": message.c.campaign_id, "campaign": name, "email": message.c.email}
    entry = _entry(at, literal(f"mail.{state}"), identity, _object(told))
    return entry.where(_is(message, organization_id, names), at.is_not(None))


def _campaign_of(table: Table, campaign_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """The name of a row's campaign; null where it has none."""
    return (
        select(campaign.c.name)
        .where(campaign.c.organization_id == table.c.organization_id, campaign.c.campaign_id == campaign_id)
        .scalar_subquery()
    )


def _entry(
    at: ColumnElement[Any], kind: ColumnElement[Any], identity: ColumnElement[Any], detail: ColumnElement[Any]
) -> Select[Any]:
    return select(at.label("at"), kind.label("type"), identity.label("id"), detail.label("detail"))


def _is(table: Table, organization_id: str, names: Sequence[str]) -> ColumnElement[bool]:
    return and_(table.c.organization_id == organization_id, table.c.customer_id.in_(names))


def _object(members: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    """A JSON object without what is null."""
    pairs = [part for name, value in members.items() for part in (literal(name, Text), value)]
    return func.jsonb_strip_nulls(func.jsonb_build_object(*pairs), type_=JSONB)

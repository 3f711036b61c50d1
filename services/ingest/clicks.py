"""Links of mails that were followed: where they lead, and whether a person followed them.

A click is written down at once and understood two seconds later, when it is known what else was clicked meanwhile: a
scanner's first click looks like anybody's.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Text, and_, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.ingest.feedback import Feedback, mail_event, record
from services.ingest.records import Record
from shared.database.tables import mail_batch, mail_click, mail_content, message
from shared.domain.machines import AT_ONCE, SETTLED, Click, are_machines

MOST: Final = 500


class Target(NamedTuple):
    """Where a link leads, and when its mail was delivered, else sent."""

    link: str
    went_at: datetime | None


def target(connection: Connection, organization_id: str, message_id: UUID, number: int) -> Target | None:
    """Only what the mail held: the links of the content that it was written from."""
    its_batch = mail_batch.c.batch_id == message.c.batch_id
    # Somebody may click before the mailer has written down that the mail went: then an open batch names it.
    identity = func.convert_to(cast(message.c.message_id, Text), "UTF8")
    open_batch = and_(
        mail_batch.c.campaign_id == message.c.campaign_id,
        mail_batch.c.state.in_(("claimed", "accepted")),
        func.position(identity.op("IN")(mail_batch.c.letters)) > 0,
    )
    for of_mail in (its_batch, open_batch):
        wanted = (
            select(
                mail_content.c.content["links"][number].astext,
                func.coalesce(message.c.delivered_at, message.c.sent_at),
            )
            .select_from(message)
            .join(mail_batch, and_(mail_batch.c.organization_id == message.c.organization_id, of_mail))
            .join(
                mail_content,
                and_(
                    mail_content.c.organization_id == mail_batch.c.organization_id,
                    mail_content.c.content_id == mail_batch.c.content_id,
                ),
            )
            .where(message.c.organization_id == organization_id, message.c.message_id == message_id)
        )
        found = connection.execute(wanted).first()
        if found is not None:
            return Target(*found) if found[0] is not None else None
    return None


def note(connection: Connection, organization_id: str, message_id: UUID, click: Click) -> None:
    """Write a click down. The same click told again is one."""
    connection.execute(
        insert(mail_click)
        .values(
            organization_id=organization_id,
            message_id=message_id,
            link_digest=_digest(click.link),
            at=click.at,
            link=click.link,
            told=click.told,
        )
        .on_conflict_do_nothing()
    )


def settle(connection: Connection, organization_id: str, now: datetime) -> list[dict[str, Record]]:
    """Decide on the clicks whose time has come, for up to MOST mails: for each mail the events to publish, by id."""
    due = (
        select(mail_click.c.message_id)
        .where(
            mail_click.c.organization_id == organization_id,
            mail_click.c.machine.is_(None),
            mail_click.c.at <= now - SETTLED,
        )
        .distinct()
        .limit(MOST)
    )
    ids = list(connection.execute(due).scalars())
    if not ids:
        return []
    mine = (
        select(message.c.message_id)
        .where(message.c.organization_id == organization_id, message.c.message_id.in_(ids))
        .order_by(message.c.message_id)
        .with_for_update(skip_locked=True)
    )
    taken = set(connection.execute(mine).scalars())
    return [_settle_mail(connection, organization_id, message_id, now) for message_id in ids if message_id in taken]


def _settle_mail(connection: Connection, organization_id: str, message_id: UUID, now: datetime) -> dict[str, Record]:
    of_mail = (mail_click.c.organization_id == organization_id, mail_click.c.message_id == message_id)
    oldest = (
        select(func.min(mail_click.c.at) - AT_ONCE).where(*of_mail, mail_click.c.machine.is_(None)).scalar_subquery()
    )
    rows = connection.execute(select(mail_click).where(*of_mail, mail_click.c.at >= oldest)).all()
    verdicts = are_machines([Click(row.link, row.at, row.told) for row in rows])
    events: dict[str, Record] = {}
    for row, machine in zip(rows, verdicts, strict=True):
        if row.machine is not None or row.at > now - SETTLED:
            continue
        connection.execute(
            update(mail_click)
            .where(*of_mail, mail_click.c.link_digest == row.link_digest, mail_click.c.at == row.at)
            .values(machine=machine)
        )
        news = Feedback("clicked", row.at, machine=machine, link=row.link)
        mail = record(connection, organization_id, message_id, news)
        if mail is not None and not mail.erased:
            event_id = f"{message_id}:clicked:{row.link_digest.hex()}:{row.at.timestamp():.6f}"
            events[event_id] = mail_event(mail, news, event_id)
    return events


def _digest(link: str) -> bytes:
    return hashlib.md5(link.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()

"""The numbers of an A/B test, from the ledger of mail: for choosing the winner and for showing how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from shared.database.tables import message
from shared.domain.ab_test import Progress, Tried

OPEN = ("planned", "waiting", "claimed")
# Percent: such a test leaves no rest that waits for its winner.
ALL = 100


class Numbers(NamedTuple):
    """Of one subject: people it was sent to, and those who opened or clicked."""

    subject: str
    sent: int
    opened: int
    clicked: int


def numbers(connection: Connection, organization_id: str, campaign_id: str, test: Mapping[str, Any]) -> list[Numbers]:
    """How each subject does, in their order. Who clicked has opened, whatever their mail program hid."""
    is_sent = message.c.sent_at.is_not(None)
    clicked = message.c.clicked_at.is_not(None)
    counted = (
        select(
            message.c.variant,
            func.count().filter(is_sent),
            func.count().filter(is_sent, clicked | message.c.opened_at.is_not(None)),
            func.count().filter(is_sent, clicked),
        )
        .where(*_test(organization_id, campaign_id))
        .group_by(message.c.variant)
    )
    found = {row[0]: row[1:] for row in connection.execute(counted)}
    return [Numbers(subject, *found.get(place, (0, 0, 0))) for place, subject in enumerate(test["subjects"])]


def tried(numbers: Sequence[Numbers], by: str) -> list[Tried]:
    """As the winner is chosen from them, by opens or by clicks."""
    return [Tried(each.subject, each.sent, each.opened if by == "opens" else each.clicked) for each in numbers]


def progress(connection: Connection, organization_id: str, campaign_id: str) -> Progress:
    """Where the mails of the test stand."""
    half = func.percentile_disc(0.5).within_group(message.c.sent_at).filter(message.c.sent_at.is_not(None))
    wanted = select(
        func.count().filter(message.c.sent_at.is_(None), message.c.state.in_(OPEN)),
        func.count().filter(message.c.sent_at.is_not(None)),
        half,
    ).where(*_test(organization_id, campaign_id))
    return Progress(*connection.execute(wanted).one())


def after(test: Mapping[str, Any]) -> timedelta:
    """How long people have to open or click."""
    return timedelta(hours=float(test["winner_after_hours"]))


def _test(organization_id: str, campaign_id: str) -> tuple[Any, ...]:
    return (
        message.c.organization_id == organization_id,
        message.c.campaign_id == campaign_id,
        message.c.variant.is_not(None),
    )

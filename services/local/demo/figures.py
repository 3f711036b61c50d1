"""The shop in numbers, straight from the tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, Select, and_, case, func, null, or_, select, text

from shared.database.tables import campaign, customer, dead_letter, mail_click, message, organization

UNDER_WAY = ("planned", "claimed")
WENT = ("sent", "delivered", "bounced", "complained")


@dataclass(frozen=True)
class Figures:
    """What the stats show. Money in minor units."""

    customers: int = 0
    sales: int = 0
    revenue: int = 0
    redemptions: int = 0
    consents: int = 0  # customers who said yes or no

    @property
    def events(self) -> int:
        """How many of the year's events the stats show: a household registers and consents by one each."""
        return self.sales + self.redemptions + 2 * self.consents


@dataclass(frozen=True)
class Mails:
    """One line of the mail ledger, summed up. What became of a mail that was `sent` is counted beside it: delivered,
    then opened and clicked by people.
    """

    campaign: str
    state: str
    reason: str | None
    count: int
    delivered: int = 0
    opened: int = 0
    clicked: int = 0


def currency(store: Engine, organization_id: str) -> str:
    """ISO 4217."""
    wanted = select(organization.c.currency).where(organization.c.organization_id == organization_id)
    with store.connect() as connection:
        return str(connection.execute(wanted).scalar_one())


def read(store: Engine, organization_id: str) -> Figures:
    """The figures of this moment."""
    wanted = select(
        func.count(),
        func.coalesce(func.sum(customer.c.visit_count), 0),
        func.coalesce(func.sum(customer.c.total_spent), 0),
        func.coalesce(func.sum(customer.c.coupon_redemptions), 0),
        func.count(customer.c.consent_at),
    ).where(customer.c.organization_id == organization_id)
    with store.connect() as connection:
        return Figures(*(int(value) for value in connection.execute(wanted).one()))


def mails(store: Engine, organization_id: str) -> list[Mails]:
    """Every mail that was planned, by campaign, state and reason."""
    its_campaign = and_(
        campaign.c.organization_id == message.c.organization_id, campaign.c.campaign_id == message.c.campaign_id
    )
    went = message.c.state.in_(WENT)
    state, reason = case((went, "sent"), else_=message.c.state), case((went, null()), else_=message.c.reason)
    marks = (message.c.delivered_at, message.c.opened_at, message.c.clicked_at)
    wanted = (
        select(campaign.c.name, state, reason, func.count(), *(func.count(mark) for mark in marks))
        .join_from(message, campaign, its_campaign)
        .where(message.c.organization_id == organization_id)
        .group_by(campaign.c.name, text("2"), text("3"))
        .order_by(campaign.c.name, func.count().desc())
    )
    with store.connect() as connection:
        return [Mails(*row) for row in connection.execute(wanted)]


def mails_sent(store: Engine, organization_id: str) -> int:
    """How many mails the provider took."""
    return _count(store, _messages(organization_id).where(message.c.sent_at.is_not(None)))


def mails_opened(store: Engine, organization_id: str) -> int:
    """How many of them a person opened."""
    return _count(store, _messages(organization_id).where(message.c.opened_at.is_not(None)))


def unsettled(store: Engine, organization_id: str) -> int:
    """How many clicks are not yet told from machines', and mails neither delivered nor bounced."""
    clicks = select(func.count()).where(mail_click.c.organization_id == organization_id, mail_click.c.machine.is_(None))
    return _count(store, clicks) + _count(store, _messages(organization_id).where(message.c.state == "sent"))


def mails_due(store: Engine, organization_id: str, now: datetime) -> int:
    """How many mails could go out now and have not. What only its clock holds back is not among them."""
    waits_no_more = and_(message.c.state == "waiting", func.coalesce(message.c.wait_until, now) <= now)
    return _count(store, _messages(organization_id).where(or_(message.c.state.in_(UNDER_WAY), waits_no_more)))


def unplanned(store: Engine, organization_id: str) -> int:
    """How many one-off campaigns are to be sent and have no audience yet."""
    wanted = select(func.count()).where(
        campaign.c.organization_id == organization_id,
        campaign.c.state.in_(("scheduled", "sending")),
        campaign.c.planned_at.is_(None),
    )
    return _count(store, wanted)


def dead_letters(store: Engine, organization_id: str) -> int:
    """How many events could not be counted."""
    dead = select(func.count()).select_from(dead_letter)
    return _count(store, dead.where(dead_letter.c.organization_id == organization_id))


def _messages(organization_id: str) -> Select[int]:
    return select(func.count()).select_from(message).where(message.c.organization_id == organization_id)


def _count(store: Engine, wanted: Select[int]) -> int:
    with store.connect() as connection:
        return connection.execute(wanted).scalar_one()

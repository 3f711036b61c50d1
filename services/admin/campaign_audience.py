"""Who would get a campaign now, who would wait, who would not and why: a dry run by the definition that plans it."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from services.admin import campaign_previews
from shared.database import campaign_coupons
from shared.database.audience import count_audience
from shared.database.tables import mail_rate
from shared.domain.gates import Reason

# What Resend allows who has asked for no more; a mailer that has run says what it can.
MAILS_PER_SECOND: Final = 200.0


class Audience(BaseModel):
    """A dry run."""

    recipients: int = Field(description="Would get it now, but for contact times and quiet hours.")
    waiting: int = Field(description="Had their mail of this day, week or month: it waits for the next, or expires.")
    excluded: dict[str, int] = Field(description="Would not get it: reason to number, each by the first closed gate.")
    coupon_exposure: int | Literal["unbounded"] = Field(
        description="What its coupon can cost at most, in minor units; 0 without one."
    )
    estimated_seconds: int = Field(description="How long the sending takes, at the speed of the mail provider.")


def count(connection: Connection, organization_id: str, campaign_id: str, now: datetime) -> Audience:
    """Raises NotFoundError."""
    sender, wanted = campaign_previews.read(connection, organization_id, campaign_id)
    counts = count_audience(connection, sender, wanted, now)
    recipients = counts.pop(None, 0)
    waiting = counts.pop(str(Reason.FREQUENCY_CAP), 0)
    return Audience(
        recipients=recipients,
        waiting=waiting,
        excluded={reason: number for reason, number in sorted(counts.items(), key=str) if reason is not None},
        coupon_exposure=campaign_coupons.exposure_of(connection, wanted, recipients + waiting, now),
        estimated_seconds=math.ceil(recipients / _speed(connection)),
    )


def _speed(connection: Connection) -> float:
    """Mails a second, of the provider that was used last: an account is shared by all organizations."""
    last = (
        select(mail_rate.c.mails_per_second)
        .where(mail_rate.c.organization_id == "", mail_rate.c.mails_per_second.is_not(None))
        .order_by(mail_rate.c.next_at.desc())
        .limit(1)
    )
    return float(connection.execute(last).scalar() or MAILS_PER_SECOND)

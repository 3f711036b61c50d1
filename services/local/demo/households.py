"""People for the households of the data set, which knows none by name: the same ones in every run.

Names, addresses (at example.com, which nobody owns), birthdays, consent and wishes come from a generator seeded by the
household; tags from the data set's survey of 801 households. Some have their birthday on the day of the demo.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from services.local.demo.names import FAMILY, GIVEN
from services.local.demo.organization import ORGANIZATION_ID
from shared.domain.event_fields import ContactTime, EmailFrequency
from shared.domain.event_structs import CustomerConsentChangedData, CustomerUpsertedData
from shared.domain.events import CustomerConsentChanged, CustomerUpserted, SaleCompleted

CONSENTING = 0.8
VERIFIED = 0.9
KNOWN_BIRTHDAY = 0.7
BIRTHDAY_SOON = 0.03  # spread over today and the next days, so that there is something to see
SOON_DAYS = 4
WORDING = "Yes, send me offers and news by email. I can unsubscribe at any time."


@dataclass(frozen=True)
class Profile:
    """What a household would have told at the till."""

    customer_id: str
    name: str
    email: str
    email_verified: bool
    birthday: str | None
    tags: list[str]
    contact_time: ContactTime | None
    frequency: EmailFrequency | None
    consent: bool


def customer_id(household_id: int) -> str:
    return f"hh-{household_id}"


def profiles(household_ids: Iterable[int], survey: Any, today: date) -> dict[int, Profile]:
    """A profile for each household; `survey` is the data set's table `demographics`."""
    tags = dict(zip(survey["household_id"].tolist(), _tags(survey), strict=True))
    return {household: make_up(customer_id(household), today, tags.get(household, [])) for household in household_ids}


def make_up(customer: str, today: date, tags: list[str]) -> Profile:
    """The person behind a customer id: the same for the same id, birthdays around `today` aside."""
    chance = random.Random(customer)  # noqa: S311 - makes people up, guards nothing
    given, family = chance.choice(GIVEN), chance.choice(FAMILY)
    return Profile(
        customer_id=customer,
        name=f"{given} {family}",
        email=f"{given}.{family}.{customer}@example.com".lower(),
        email_verified=chance.random() < VERIFIED,
        birthday=_birthday(chance, today),
        tags=tags,
        contact_time=chance.choices(("morning", "afternoon", "evening", None), (20, 15, 15, 50))[0],
        frequency=chance.choices(("daily", "weekly", "monthly", "never", None), (30, 30, 8, 2, 30))[0],
        consent=chance.random() < CONSENTING,
    )


def registered(profile: Profile, sale: SaleCompleted) -> CustomerUpserted:
    """The household told who it is when it bought for the first time. `registered_at` is left to that purchase."""
    return CustomerUpserted(
        specversion="1.0",
        id=f"{profile.customer_id}-registered",
        source=sale.source,
        time=sale.time,
        data=CustomerUpsertedData(
            organization_id=ORGANIZATION_ID,
            store_id=sale.data.store_id,
            terminal_id=sale.data.terminal_id,
            customer_id=profile.customer_id,
            name=profile.name,
            email=profile.email,
            email_verified=profile.email_verified,
            birthday=profile.birthday,
            tags=profile.tags,
            preferred_contact_time=profile.contact_time,
            email_frequency=profile.frequency,
            locale="en-US",
        ),
    )


def consented(profile: Profile, sale: SaleCompleted) -> CustomerConsentChanged:
    """What the household ticked on the same form."""
    return CustomerConsentChanged(
        specversion="1.0",
        id=f"{profile.customer_id}-consent",
        source=sale.source,
        time=sale.time,
        data=CustomerConsentChangedData(
            organization_id=ORGANIZATION_ID,
            store_id=sale.data.store_id,
            terminal_id=sale.data.terminal_id,
            customer_id=profile.customer_id,
            marketing_consent=profile.consent,
            where=f"till {sale.data.terminal_id} of store {sale.data.store_id}",
            wording=WORDING,
        ),
    )


def _birthday(chance: random.Random, today: date) -> str | None:
    known, soon = chance.random() < KNOWN_BIRTHDAY, chance.random() < BIRTHDAY_SOON
    year, day, ahead = chance.randint(1940, 2004), chance.randrange(366), chance.randrange(SOON_DAYS)
    when = today + timedelta(days=ahead) if soon else date(2000, 1, 1) + timedelta(days=day)
    if not known:
        return None
    # Half of all people do not tell the year; 29 February has one only every fourth year.
    return f"--{when:%m-%d}" if year % 2 or (when.month, when.day) == (2, 29) else f"{year}-{when:%m-%d}"


def _tags(survey: Any) -> list[list[str]]:
    return [
        (["family"] if kids != "0" else []) + (["homeowner"] if home == "Homeowner" else [])
        for kids, home in zip(survey["kids_count"].tolist(), survey["home_ownership"].tolist(), strict=True)
    ]

"""How the A/B test of a campaign stands, in numbers and in a sentence."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, RowMapping

from services.admin.instants import Instant
from shared.database import ab_tests
from shared.domain.ab_test import Tried, decides_at, sentence, winner


class Subject(BaseModel):
    """One subject of the test, over those it was tried on."""

    subject: str
    sent: int
    opened: int = Field(description="By people; who clicked has opened.")
    clicked: int
    rate: float = Field(description="Of those it was sent to, who did what the test goes by.")


class AbResult(BaseModel):
    """An A/B test. The rest of the audience waits until `decided_at`."""

    subjects: list[Subject]
    winner: int | None = Field(description="Its place among the subjects, from 0; null until it is chosen.")
    decides_at: Instant | None = Field(description="When it will be; null while too few mails are out to tell.")
    decided_at: Instant | None
    sentence: str = Field(description="What the numbers said when the winner was chosen, or say now.")


def of(connection: Connection, row: RowMapping) -> AbResult | None:
    """Of a campaign's row; None without a test, and before its audience is planned."""
    test: dict[str, Any] | None = row["ab_test"]
    if test is None or row["planned_at"] is None:
        return None
    numbers = ab_tests.numbers(connection, row["organization_id"], row["campaign_id"], test)
    is_decided = row["ab_winner"] is not None
    chosen = row["ab_winner"] if is_decided and row["ab_winner"] >= 0 else None
    by = str(test["winner_by"])
    live = ab_tests.tried(numbers, by)
    then = live
    if chosen is not None and row["ab_numbers"]:
        then = ab_tests.tried([ab_tests.Numbers(**each) for each in row["ab_numbers"]], by)
    expected = None
    if not is_decided and test["test_percent"] < ab_tests.ALL:
        stand = ab_tests.progress(connection, row["organization_id"], row["campaign_id"])
        half = stand.half_sent_at
        expected = None if half is None else decides_at(stand, ab_tests.after(test), half)
    return AbResult(
        subjects=[_shown(each, rated) for each, rated in zip(numbers, live, strict=True)],
        winner=chosen,
        decides_at=expected,
        decided_at=row["ab_decided_at"],
        sentence=sentence(then, winner(then) if chosen is None else chosen, by, decided=chosen is not None),
    )


def _shown(each: ab_tests.Numbers, rated: Tried) -> Subject:
    return Subject(
        subject=each.subject, sent=each.sent, opened=each.opened, clicked=each.clicked, rate=round(rated.rate, 4)
    )

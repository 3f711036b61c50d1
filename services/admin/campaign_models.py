"""A campaign as marketers write it, and as they read it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from services.admin.ab_results import AbResult
from services.admin.instants import Instant
from shared.domain.coupons.codes import normalise
from shared.domain.event_fields import PRINTABLE, Cause
from shared.domain.templating import place

Type = Literal["promotional", "newsletter", "birthday", "anniversary", "follow_up", "welcome"]
State = Literal["draft", "scheduled", "sending", "active", "paused", "sent", "cancelled", "failed"]
STORED = {"is": "stored"}
"""The context in which a campaign is read."""
LONGEST_BODY = 200_000
LONGEST_LINE = 250
# As Unicode has them (UAX 14), too: some mail programs break the line there.
LINE_BREAKS = "\r\n\v\f\x85\u2028\u2029"


def _one_line(given: str) -> str:
    """A line break in a subject would start a header of somebody else's making (RFC 5322)."""
    for column, character in enumerate(given, 1):
        if character in LINE_BREAKS:
            raise ValueError(f"column {column}: must be one line; take the line break out")
        if unicodedata.category(character) == "Cc":
            raise ValueError(f"column {column}: holds a control character; take it out")
    if len(given) > LONGEST_LINE:
        raise ValueError(f"must be at most {LONGEST_LINE} characters; it has {len(given):,}")
    return given


def _short_enough(given: str) -> str:
    if len(given) > LONGEST_BODY:
        raise ValueError(
            f"must be at most {LONGEST_BODY:,} characters; it has {len(given):,}. Put images on the web and link them"
        )
    for offset, character in enumerate(given):
        if unicodedata.category(character) == "Cc" and character not in "\t\r\n":
            raise ValueError(f"{place(given, offset)}: holds a control character; take it out")
    return given


def _not_blank(given: str) -> str:
    if not given.strip():
        raise ValueError("is blank: write something that is seen")
    return given


def _when_written(rule: Callable[[str], str]) -> AfterValidator:
    """What was stored under an older rule can be read all the same."""

    def judge(given: str, info: ValidationInfo) -> str:
        return given if info.context is STORED else rule(given)

    return AfterValidator(judge)


Line = Annotated[str, _when_written(_one_line)]
Subject = Annotated[
    Line,
    Field(min_length=1, description="One line, up to 250 characters; may hold {variables}."),
    _when_written(_not_blank),
]
SegmentId = Annotated[str, Field(min_length=1, max_length=128)]
CouponCode = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(normalise)]


def _no_repetition(given: list[str]) -> list[str]:
    if len(set(given)) != len(given):
        raise ValueError("must not name one twice")
    return given


SegmentIds = Annotated[list[SegmentId], Field(max_length=100), AfterValidator(_no_repetition)]


# An int stays one, as it was written.
Hours = Annotated[int | float, Field(ge=0, description="Parts of an hour are possible, too: 0.5.")]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Audience(Form):
    """Who is meant: in any of the segments to include (all customers if none is given), and the rest holds too."""

    include_segments: SegmentIds = []
    exclude_segments: SegmentIds = []
    minimum_spent: Annotated[int, Field(ge=0, le=10**15, description="Minor units.")] | None = None
    minimum_visits: Annotated[int, Field(ge=0, le=10**9)] | None = None
    tags: Annotated[list[str], Field(max_length=100, description="Any of them.")] = []


class OnDay(Form):
    """Days before a birthday or an anniversary."""

    on: Literal["birthday", "anniversary"]
    days_before: Annotated[int, Field(ge=0, le=60)] = 0


class OnSegmentEntered(Form):
    """When a customer enters a segment."""

    on: Literal["segment_entered"]
    segment_id: SegmentId
    cool_down_days: Annotated[int, Field(ge=0, le=3_650, description="Not again to the same customer before.")] = 30
    delay_hours: Annotated[Hours, Field(le=8_760)] = 0
    causes: Annotated[
        list[Cause],
        Field(min_length=1, max_length=4, description="Why they entered. A new or edited segment mails nobody else."),
        AfterValidator(_no_repetition),
    ] = ["event", "time"]


Trigger = Annotated[OnDay | OnSegmentEntered, Field(discriminator="on")]


class AbTest(Form):
    """Subjects tried on a share of the audience; the winner goes to the rest."""

    subjects: Annotated[list[Subject], Field(min_length=2, max_length=4)]
    test_percent: Annotated[int, Field(ge=1, le=100)] = 20
    winner_by: Literal["opens", "clicks"] = "opens"
    winner_after_hours: Annotated[Hours, Field(le=168)] = 4


class Content(Form):
    """All that a marketer decides."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=PRINTABLE)]
    type: Type = "promotional"
    subject: Subject
    preview_text: Line = ""
    body: Annotated[str, Field(min_length=1), _when_written(_short_enough), _when_written(_not_blank)]
    body_format: Literal["markdown", "html"] = "markdown"
    coupon_code: CouponCode | None = None
    unique_codes: bool = False
    grant_days: Annotated[int, Field(ge=1, le=3_650)] | None = None
    audience: Audience = Field(default_factory=Audience)
    trigger: Trigger | None = Field(None, description="null for a one-off.")
    holdout_percent: Annotated[int, Field(ge=0, le=90)] = 0
    expires_after_hours: Annotated[int, Field(ge=1, le=8_760)] = 72
    priority: Annotated[int, Field(ge=0, le=100)] | None = Field(None, description="Smaller goes first; null: by type.")
    respect_contact_time: bool = True
    ab_test: AbTest | None = None

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        """Refuse what contradicts itself."""
        if self.coupon_code is None and (self.unique_codes or self.grant_days is not None):
            raise ValueError("unique_codes and grant_days need a coupon_code")
        if self.ab_test is not None and self.trigger is not None:
            raise ValueError("an ab_test needs a one-off campaign: take the trigger out")
        return self


class Counts(BaseModel):
    """Mails by what became of them. From `sent` on cumulative: a delivered one was also sent."""

    total: int = Field(description="All that were ever planned.")
    planned: int = Field(description="To go next.")
    waiting: int = Field(description="For a cap, a contact time or quiet hours.")
    sent: int
    delivered: int
    opened: int = Field(description="By people.")
    machine_opened: int
    clicked: int
    bounced: int
    complained: int
    unsubscribed: int
    failed: int
    skipped: dict[str, int] = Field(description="Reason to number.")
    waiting_for: dict[str, int] = Field(description="What the waiting ones wait for: reason to number.")


class Campaign(Content):
    """A campaign with its state and its numbers."""

    id: str
    state: State
    error: str | None = Field(description="Why it failed or paused itself, or what holds it up and is tried again.")
    send_at: Instant | None
    activated_at: Instant | None
    counts: Counts
    ab_result: AbResult | None = Field(description="How its A/B test stands; null without one, and before it is sent.")
    version: int = Field(exclude=True)
    created_at: Instant
    updated_at: Instant


class SendAt(Form):
    """When to send."""

    at: AwareDatetime | None = Field(None, description="null for now.")

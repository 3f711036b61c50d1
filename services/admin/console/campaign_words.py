"""Campaigns in words: what sets them off, what became of their mails, and what each step of their life does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.admin.campaign_life import Step
from services.admin.campaign_models import OnDay, OnSegmentEntered, Trigger
from services.admin.decisions import WHY
from shared.domain.gates import Reason
from shared.wording import counted

TYPES: Final = {
    "promotional": "Promotion",
    "newsletter": "Newsletter",
    "birthday": "Birthday",
    "anniversary": "Anniversary",
    "follow_up": "Follow-up",
    "welcome": "Welcome",
}
CAUSES: Final = {
    "event": "by what they did, such as a purchase",
    "time": "as time passed",
    "backfill": "as the segment was new",
    "edit": "as the segment was edited",
}
# A count of mails, its words and what it means.
FUNNEL: Final = (
    ("sent", "Sent", "The provider has taken them."),
    ("delivered", "Delivered", "The provider told so, or somebody opened or clicked."),
    ("opened", "Opened by people", "Opens that no machine made."),
    ("machine_opened", "Opened by machines", "Apple's and Gmail's prefetching, and scanners."),
    ("clicked", "Clicked", "At least one link."),
    ("bounced", "Bounced", "The address does not take mail."),
    ("complained", "Complained", "Marked as spam."),
    ("unsubscribed", "Unsubscribed", "By this mail's link."),
    ("failed", "Failed", "The provider refused them for good."),
)
STATES: Final = ("planned", "waiting", "claimed", "sent", "delivered", "bounced", "complained", "failed", "skipped")
STEPS: Final = {  # its button, and what is asked before
    Step.ACTIVATE: ("Activate", "Activate it? From now on everybody whom its trigger meets gets this mail."),
    Step.PAUSE: ("Pause", ""),
    Step.RESUME: ("Resume", ""),
    Step.CANCEL: ("Cancel for good", "Cancel this campaign for good? What has not gone yet never goes."),
}
NO_NUMBER_YET: Final = "\N{EN DASH}"


def trigger_in_words(trigger: Trigger | None, segments: Mapping[str, str]) -> str:
    """Such as "3 days before the birthday"; `segments` has their names by id."""
    match trigger:
        case None:
            return "Once, when you send it"
        case OnDay():
            day = f"the {trigger.on}"
            return f"{counted(trigger.days_before, 'day')} before {day}" if trigger.days_before else f"On {day}"
        case OnSegmentEntered():
            later = f" {trigger.delay_hours:g} h after" if trigger.delay_hours else " on"
            again = f", again after {counted(trigger.cool_down_days, 'day')}" if trigger.cool_down_days else ""
            return (
                f"{later.strip().capitalize()} entering {segments.get(trigger.segment_id, trigger.segment_id)}{again}"
            )


def why(reason: str) -> str:
    """A gate's reason as a sentence."""
    words = WHY[Reason(reason)] if reason in set(Reason) else reason.replace("_", " ")
    return words[:1].upper() + words[1:]


def rate(part: int, whole: int) -> str:
    """A share such as 12.5%."""
    return f"{part / whole:.1%}" if whole else NO_NUMBER_YET


def duration(seconds: int) -> str:
    """About how long."""
    for unit, length in (("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"about {counted(round(seconds / length), unit)}"
    return counted(seconds, "second")

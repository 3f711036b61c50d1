"""The life of a campaign: which step is possible from which state. Decisions only."""

from __future__ import annotations

from enum import StrEnum

from services.admin.campaign_models import State
from shared.errors import ConflictError

# What may still be edited: a running automation too, from the next mail on.
EDITABLE = frozenset({"draft", "scheduled", "active", "paused", "failed"})


class Step(StrEnum):
    """What a marketer asks for."""

    SEND = "send"
    ACTIVATE = "activate"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


_FROM: dict[Step, frozenset[State]] = {
    Step.SEND: frozenset({"draft", "scheduled"}),
    Step.ACTIVATE: frozenset({"draft"}),
    Step.PAUSE: frozenset({"scheduled", "sending", "active"}),
    Step.RESUME: frozenset({"paused", "failed"}),
    Step.CANCEL: frozenset({"scheduled", "sending", "active", "paused", "failed"}),
}
# Asked for again, it is simply so already.
_REACHED: dict[Step, frozenset[State]] = {
    Step.SEND: frozenset(),
    Step.ACTIVATE: frozenset({"active"}),
    Step.PAUSE: frozenset({"paused"}),
    Step.RESUME: frozenset({"scheduled", "sending", "active"}),
    Step.CANCEL: frozenset({"cancelled"}),
}


def possible(state: State, *, automatic: bool) -> list[Step]:
    """The steps that change something now."""
    other = Step.SEND if automatic else Step.ACTIVATE
    return [step for step in Step if state in _FROM[step] and step is not other]


def after(step: Step, state: State, *, automatic: bool, planned: bool) -> State:
    """The state after a step; `planned` says that the audience of a one-off is written down already.

    Raises ConflictError with what to do instead.
    """
    if state in _REACHED[step]:
        return state
    if step is Step.SEND and automatic:
        raise ConflictError("This campaign goes by itself: activate it. To send it once, take its trigger out.")
    if step is Step.ACTIVATE and not automatic:
        raise ConflictError("This campaign has no trigger: send it, or give it a trigger first.")
    if state not in _FROM[step]:
        possible = ", ".join(str(other) for other in Step if state in _FROM[other]) or "none"
        raise ConflictError(f"A campaign that is {state} cannot take the step {step}. Steps possible now: {possible}.")
    match step:
        case Step.SEND:
            return "scheduled"
        case Step.PAUSE:
            return "paused"
        case Step.CANCEL:
            return "cancelled"
        case _:
            if automatic:
                return "active"
            return "sending" if planned else "scheduled"

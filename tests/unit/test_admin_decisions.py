from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin import memberships
from services.admin.campaign_life import Step, after
from services.admin.campaign_models import State
from services.admin.csv_cells import guarded, unguarded
from services.admin.decisions import WHY, why
from services.admin.instants import written
from services.admin.paging import read_cursor, write_cursor
from services.admin.slugs import free_slug
from services.admin.versions import check_match
from shared.domain.gates import Reason
from shared.errors import ConflictError, InvalidError
from shared.problems import Problem

STATES: tuple[State, ...] = ("draft", "scheduled", "sending", "active", "paused", "sent", "cancelled", "failed")


def reachable(step: Step, *, automatic: bool, planned: bool = False) -> dict[str, str]:
    """From which states the step is possible, and where it leads."""
    found = {}
    for state in STATES:
        try:
            found[state] = after(step, state, automatic=automatic, planned=planned)
        except ConflictError as error:
            assert str(error)  # noqa: PT017 - the message is what the user reads
    return {state: reached for state, reached in found.items() if reached != state or state == "scheduled"}


def test_a_one_off_lives_as_the_reference_says() -> None:
    assert reachable(Step.SEND, automatic=False) == {"draft": "scheduled", "scheduled": "scheduled"}
    assert reachable(Step.ACTIVATE, automatic=False) == {}
    assert reachable(Step.PAUSE, automatic=False) == dict.fromkeys(("scheduled", "sending", "active"), "paused")
    assert reachable(Step.RESUME, automatic=False)["paused"] == "scheduled"
    assert reachable(Step.RESUME, automatic=False, planned=True)["paused"] == "sending"


def test_an_automation_lives_as_the_reference_says() -> None:
    assert reachable(Step.SEND, automatic=True) == {}
    assert reachable(Step.ACTIVATE, automatic=True) == {"draft": "active"}
    assert reachable(Step.RESUME, automatic=True)["paused"] == "active"


@pytest.mark.parametrize("step", list(Step))
def test_nothing_moves_what_is_over(step: Step) -> None:
    for automatic in (False, True):
        moved = reachable(step, automatic=automatic)
        assert "sent" not in moved
        assert "cancelled" not in moved


def test_a_refused_step_tells_the_possible_ones() -> None:
    with pytest.raises(ConflictError, match="Steps possible now: resume, cancel"):
        after(Step.SEND, "paused", automatic=False, planned=False)


def test_every_reason_has_words() -> None:
    assert set(WHY) == set(Reason)


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    assert (
        why("failed", "refused", "The address does not exist", None, "UTC") == "Did not go: The address does not exist."
    )
    assert why("skipped", "new_reason", None, None, "UTC") == "Did not go: new_reason."
    assert why("delivered", None, None, None, "UTC") == "Delivered."


def test_why_a_mail_waits_or_went_is_said_with_the_customers_clock() -> None:
    at = datetime(2026, 11, 24, 3, 30, tzinfo=UTC)
    tuesday = "Tuesday 24 November 09:00 (Asia/Kolkata)"
    capped = why("waiting", "frequency_cap", None, at, "Asia/Kolkata", frequency="weekly")
    assert capped == f"Waits until {tuesday}: weekly cap, one mail a week and this week's has gone."
    assert why("sent", None, None, at, "Asia/Kolkata") == f"Sent on {tuesday}: no gate was closed."
    assert why("planned", None, None, at, "Asia/Kolkata") == f"Goes from {tuesday} on."
    assert why("waiting", "ab_test", None, None, "UTC").startswith("Waits for the winner of the A/B test")
    held = why("waiting", "quiet_hours", None, at, "Asia/Kolkata", paused=True)
    assert held == f"Held, for the campaign is paused. Waits until {tuesday}: it is quiet hours."


@given(st.sets(st.integers(0, 300)), st.dictionaries(st.integers(0, 300), st.text("abc", min_size=1)))
def test_memberships_are_the_bits_that_are_set(inside: set[int], slots: dict[int, str]) -> None:
    bits = bytearray(40)
    for slot in inside:
        bits[slot // 8] |= 1 << slot % 8
    assert memberships.ids(bytes(bits), slots) == sorted(slots[slot] for slot in inside if slot in slots)


@given(st.text())
def test_a_guarded_cell_is_read_back_as_it_was(text: str) -> None:
    cell = guarded(text)
    assert not cell.startswith(("=", "@", "\t", "\r", "\n"))
    if not text.startswith("'"):
        assert unguarded(cell) == text


def test_telephone_numbers_are_no_formulas() -> None:
    assert guarded("+91 (98) 450-00/00.0") == "+91 (98) 450-00/00.0"
    assert guarded("+1+cmd|' /C calc'!A0") == "'+1+cmd|' /C calc'!A0"
    assert guarded("-2+3") == "'-2+3"


def test_a_cursor_gives_back_its_keys_and_nothing_else() -> None:
    at = datetime(2026, 11, 22, 10, 15, 0, 5, tzinfo=UTC)
    cursor = write_cursor(at, "c-1", 7)
    assert read_cursor(cursor, datetime, str, int) == (at, "c-1", 7)
    for wrong in ((int, str, int), (datetime, str), (datetime, str, str)):
        with pytest.raises(InvalidError) as refused:
            read_cursor(cursor, *wrong)
        assert refused.value.field == "cursor"


@given(st.text(), st.sets(st.text()))
def test_slugs_are_readable_free_and_never_empty(name: str, taken: set[str]) -> None:
    slug = free_slug(name, "segment", taken)
    assert slug not in taken
    assert slug
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_slugs_are_numbered_where_they_are_taken() -> None:
    assert free_slug("VIP Customers!", "segment", ()) == "vip-customers"
    assert free_slug("Café Ümlaut", "segment", ()) == "cafe-umlaut"
    assert free_slug("ग्राहक", "segment", {"segment", "segment-2"}) == "segment-3"


def test_instants_have_microseconds_only_when_there_are_any() -> None:
    assert written(datetime(2026, 11, 22, 10, tzinfo=UTC)) == "2026-11-22T10:00:00Z"
    assert written(datetime(2026, 11, 22, 10, 0, 0, 1, tzinfo=UTC)) == "2026-11-22T10:00:00.000001Z"


def test_if_match_takes_the_version_any_or_nothing() -> None:
    for good in (None, "*", '"3"', '"2", "3"'):
        check_match(good, 3)
    for bad in ("3", '"4"', 'W/"3"', ""):
        with pytest.raises(Problem) as refused:
            check_match(bad, 3)
        assert refused.value.status == 412

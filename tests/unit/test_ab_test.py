from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.ab_test import Progress, Tried, decides_at, sentence, variant, winner

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
FOUR = timedelta(hours=4)


def test_the_share_and_the_subjects_are_drawn_evenly_and_for_good() -> None:
    drawn = [variant("spring", f"c-{n}", 20, 4) for n in range(20_000)]
    assert drawn == [variant("spring", f"c-{n}", 20, 4) for n in range(20_000)]
    assert 0.18 < sum(each is not None for each in drawn) / len(drawn) < 0.22
    for place in range(4):
        assert 850 < drawn.count(place) < 1_150
    assert variant("spring", "c-1", 100, 2) is not None


@pytest.mark.parametrize(
    ("progress", "at"),
    [
        (Progress(60, 40, NOON), None),  # more are to go than went: paused, or the provider is away
        (Progress(40, 60, NOON), NOON + FOUR),
        (Progress(0, 60, NOON), NOON + FOUR),
        (Progress(0, 0, None), NOON + timedelta(days=1)),  # reached nobody: at once
    ],
)
def test_people_have_their_time_from_when_half_of_the_mails_were_out(progress: Progress, at: datetime | None) -> None:
    assert decides_at(progress, FOUR, NOON + timedelta(days=1)) == at


@pytest.mark.parametrize(
    ("numbers", "chosen", "said"),
    [
        (((1_000, 150), (1_000, 90)), 0, "hardly chance"),
        (((100, 12), (100, 14)), 1, "may be chance"),
        (((100, 12), (50, 6)), 0, "A tie at 12.0%"),
        (((100, 0), (100, 0)), 0, "A tie without any opens"),
        (((0, 0), (0, 0)), 0, "No mail of the test has gone out"),
        (((10, 1), (2, 1), (10, 5)), 1, "A tie at 50.0%"),
    ],
)
def test_ties_and_small_samples_are_said_plainly(numbers: tuple[tuple[int, int], ...], chosen: int, said: str) -> None:
    tried = [Tried(f"S{n}", *each) for n, each in enumerate(numbers)]
    assert winner(tried) == chosen
    told = sentence(tried, chosen, "opens", decided=True)
    assert said in told
    assert f"“S{chosen}”" in told

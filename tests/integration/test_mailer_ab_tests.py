from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Integer, Text, column, literal, select, update, values

from services.admin import ab_results
from services.mailer.provider import Retry
from shared.database.tables import campaign, message
from shared.domain.ab_test import variant, variant_column
from tests.desk import Desk, Recording
from tests.mailing import NOON, add_campaign, add_people, campaign_state, organize, person, states

TEST = {"subjects": ["One, {first_name|you}", "Two"], "test_percent": 40, "winner_by": "opens", "winner_after_hours": 4}
CROWD = [f"c{n:03}" for n in range(300)]
TRIED = {name: place for name in CROWD if (place := variant("promo", name, 40, 2)) is not None}


@pytest.fixture
def store(store: Engine) -> Engine:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(name) for name in CROWD])
        add_campaign(connection, ab_test=TEST)
    return store


def subjects(provider: Recording) -> dict[str, str]:
    """customer -> the subject they got; fails for who got two."""
    mails = [mail for _, batch in provider.calls for mail in batch]
    assert len({mail.to for mail in mails}) == len(mails)
    return {mail.to.partition("@")[0]: mail.subject for mail in mails}


def answer(store: Engine, place: int, at: Any = NOON) -> None:
    """Everybody who got this subject opens it."""
    with store.begin() as connection:
        connection.execute(update(message).where(message.c.variant == place).values(opened_at=at))


def result(store: Engine) -> Any:
    with store.connect() as connection:
        return ab_results.of(connection, connection.execute(select(campaign)).mappings().one())


def test_the_winner_goes_to_the_rest_when_its_time_has_come(store: Engine) -> None:
    provider = Recording()
    desk = Desk(store, provider)
    desk.run()
    assert subjects(provider) == {name: ("One, Asha", "Two")[place] for name, place in TRIED.items()}
    rest = {name: state for name, state in states(store).items() if name not in TRIED}
    assert set(rest.values()) == {("waiting", "ab_test")}
    assert campaign_state(store) == "sending"
    answer(store, 1)
    assert (result(store).winner, result(store).decides_at) == (None, NOON + timedelta(hours=4))
    desk.now = NOON + timedelta(hours=4, seconds=-1)
    desk.run()
    assert len(subjects(provider)) == len(TRIED)
    desk.wait(timedelta(seconds=1))
    assert desk.plan() > desk.now
    desk.run()
    assert {subjects(provider)[name] for name in rest} == {"Two"}
    assert len(provider.recipients) == len(CROWD)
    assert campaign_state(store) == "sent"
    shown = result(store)
    assert (shown.winner, shown.decided_at, shown.subjects[1].rate) == (1, desk.now, 1.0)
    assert "“Two” goes to the rest: 100.0% opened" in shown.sentence


def test_a_winner_may_be_chosen_after_a_part_of_an_hour(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(update(campaign).values(ab_test=TEST | {"winner_after_hours": 0.5}))
    provider = Recording()
    desk = Desk(store, provider)
    desk.run()
    assert result(store).decides_at == NOON + timedelta(minutes=30)
    desk.wait(timedelta(minutes=30))
    desk.run()
    assert len(subjects(provider)) == len(CROWD)


def test_a_pause_leaves_people_their_time(store: Engine) -> None:
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    with store.begin() as connection:
        connection.execute(update(campaign).values(state="paused"))
    desk.now = NOON + timedelta(hours=10)
    desk.run()
    assert provider.calls == []
    with store.begin() as connection:
        connection.execute(update(campaign).values(state="sending"))
    desk.run()
    assert set(subjects(provider)) == set(TRIED)
    desk.wait(timedelta(hours=3, minutes=59))
    desk.run()
    assert len(provider.recipients) == len(TRIED)
    desk.wait(timedelta(minutes=1))
    desk.run()
    assert len(subjects(provider)) == len(CROWD)


def test_a_winner_half_chosen_is_chosen_again_and_nobody_gets_two(
    store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Recording()
    desk = Desk(store, provider)
    desk.run()
    desk.now = NOON + timedelta(hours=4)
    with monkeypatch.context() as broken:
        broken.setattr("services.mailer.ab_tests.make_blocks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            desk.plan()
    assert ("waiting", "ab_test") in states(store).values()
    desk.plan()
    desk.plan()  # as a second mailer would
    desk.run()
    assert len(subjects(provider)) == len(CROWD)


def test_a_batch_of_a_test_in_doubt_goes_again_with_its_own_subjects(store: Engine) -> None:
    provider = Recording(Retry("no answer", in_doubt=True))
    desk = Desk(store, provider)
    desk.run()
    desk.wait(timedelta(minutes=2))
    desk.run()
    calls = [batch for key, batch in provider.calls if key == provider.calls[0][0]]
    assert len(calls) == 2
    assert calls[0] == calls[1]


def test_a_cancelled_test_ends_for_the_rest_too(store: Engine) -> None:
    provider = Recording()
    desk = Desk(store, provider)
    desk.run()
    with store.begin() as connection:
        connection.execute(update(campaign).values(state="cancelled"))
    desk.wait(timedelta(hours=5))
    desk.run()
    assert {state for name, state in states(store).items() if name not in TRIED} == {("skipped", "cancelled")}
    assert len(provider.recipients) == len(TRIED)
    assert result(store).winner is None


def test_the_draw_is_the_same_in_sql(store: Engine) -> None:
    rows = values(column("n", Integer), column("name", Text), name="given").data(list(enumerate(CROWD))).alias()
    with store.connect() as connection:
        found = connection.execute(
            select(rows.c.name, variant_column(literal("promo"), rows.c.name, 40, 2)).select_from(rows)
        ).all()
    assert {name: place for name, place in found if place is not None} == TRIED

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.mailer.health import Health
from services.mailer.rounds import Rounds
from tests.stack import eventually

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


def test_a_clock_that_is_set_back_puts_nobody_off() -> None:
    now, steps = [NOON], list[tuple[str, datetime]]()

    def step(organization_id: str) -> datetime:
        steps.append((organization_id, now[0]))
        return now[0] + timedelta(hours=1)

    rounds = Rounds("test", step, lambda: ["acme"], clock=lambda: now[0], health=Health())
    rounds.start()
    try:
        eventually(lambda: ("acme", NOON) in steps)
        now[0] = NOON - timedelta(days=1)
        rounds.ring("globex")  # wakes it before its minute is over
        eventually(lambda: ("acme", now[0]) in steps, deadline=5)
    finally:
        rounds.stop(5)

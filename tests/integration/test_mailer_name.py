"""Two mailers that were given one name: neither takes the other for its own former life."""

from __future__ import annotations

from datetime import timedelta

from services.mailer.health import Health
from services.mailer.listener import Listener
from services.mailer.provider import Retry
from shared.database.engine import engine
from tests.desk import Desk, Recording
from tests.mailing import add_campaign, add_people, organize, person
from tests.stack import eventually


def test_a_mailer_takes_up_at_once_only_what_no_living_namesake_has_under_way(database: str) -> None:
    store = engine(database)
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    doubt = Retry("no answer", in_doubt=True)
    first = Desk(store, Recording(doubt))
    first.plan()
    first.step()  # calls, and has not written down how it ended
    healths = [Health(), Health()]
    one, two = (Listener(database, {}, health, "mailer-0") for health in healths)
    one.start()
    eventually(lambda: one.owns_name)
    two.start()
    eventually(lambda: "REGULARS_INSTANCE" in (healths[1].why_not() or ""))
    provider = Recording()
    second = Desk(store, provider, owns_name=lambda: two.owns_name)
    second.now += timedelta(seconds=1)
    second.step()
    assert provider.calls == []
    one.stop(10)
    eventually(lambda: two.owns_name)
    assert healths[1].why_not() is None
    second.step()
    assert provider.recipients == ["a@example.com"]
    two.stop(10)
    store.dispose()

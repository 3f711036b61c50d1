"""What becomes of mails that the provider did not take: repeated under their key, put back, failed, or the campaign paused."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, select, update

from services.mailer.provider import Accepted, Halted, Refused, Retry
from shared.database.tables import campaign, message
from tests.desk import Desk, Recording
from tests.mailing import add_campaign, add_people, campaign_state, organize, person, states


def test_a_batch_in_doubt_is_sent_again_with_the_same_key_and_the_same_bytes(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection)
    provider = Recording(Retry("no answer", in_doubt=True))
    desk = Desk(store, provider)
    desk.run()
    with store.begin() as connection:  # neither an edit nor a new name may change what is sent again
        connection.execute(update(campaign).values(body="Changed", version=2))
        connection.exec_driver_sql("UPDATE customer SET name = 'Somebody Else'")
    desk.wait(timedelta(minutes=2))
    desk.run()
    assert len(provider.calls) == 2
    assert provider.calls[0] == provider.calls[1]
    assert set(states(store).values()) == {("sent", None)}


def test_a_batch_that_was_surely_not_taken_meets_the_gates_again(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection)
    provider = Recording(Retry("429", in_doubt=False, after=3))
    desk = Desk(store, provider)
    desk.run()
    with store.begin() as connection:
        connection.exec_driver_sql("UPDATE customer SET marketing_consent = false WHERE customer_id = 'a'")
    desk.run()
    assert len(provider.calls) == 1  # the provider wants to be left alone for so long
    desk.wait(timedelta(seconds=3))
    desk.run()
    assert [mail.to for mail in provider.calls[1][1]] == ["b@example.com"]
    assert states(store) == {"a": ("skipped", "no_consent"), "b": ("sent", None)}


def test_a_mail_turned_down_for_good_fails_and_gives_its_day_back(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection)
    provider = Recording(Accepted({0: "id"}, {1: "no such address"}))
    desk = Desk(store, provider)
    desk.run()
    assert states(store) == {"a": ("sent", None), "b": ("failed", "provider_refused")}
    with store.begin() as connection:
        assert connection.execute(select(message.c.detail).where(message.c.customer_id == "b")).scalar() == (
            "no such address"
        )
        add_campaign(connection, "second")
    desk.run()
    assert states(store, "second") == {"a": ("waiting", "frequency_cap"), "b": ("sent", None)}


def test_twenty_failures_in_a_row_pause_the_campaign_and_say_why(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection, expires_after_hours=1000)
    provider = Recording(*[Retry("500 out of order", in_doubt=True)] * 25)
    desk = Desk(store, provider)
    desk.plan()
    for _ in range(60):
        desk.step()
        desk.wait(timedelta(minutes=2))
    assert len(provider.calls) == 20
    with store.connect() as connection:
        row = connection.execute(select(campaign)).one()
    assert row.state == "paused"
    assert "20 batches in a row failed" in row.error
    assert "500 out of order" in row.error


def test_a_campaign_says_what_holds_it_up_until_it_goes_on(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    desk = Desk(store, Recording(*[Retry("500 out of order", in_doubt=True)] * 3))
    desk.plan()

    def error_after_another_step() -> str | None:
        desk.step()
        desk.wait(timedelta(minutes=2))
        with store.connect() as connection:
            return connection.execute(select(campaign.c.error)).scalar_one()

    said = [error_after_another_step() for _ in range(12)]
    assert said[-1] is None
    assert "3 batches in a row did not go; tried again by itself. Last: 500 out of order" in said
    assert states(store) == {"a": ("sent", None)}


def test_a_refused_key_pauses_the_campaign_and_loses_nobody(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    provider = Recording(Halted("403 the domain is not verified"))
    desk = Desk(store, provider)
    desk.run()
    assert (campaign_state(store), states(store)) == ("paused", {"a": ("planned", None)})
    with store.begin() as connection:
        connection.execute(update(campaign).values(state="sending"))
    desk.run()
    assert (campaign_state(store), states(store)) == ("sent", {"a": ("sent", None)})


def test_without_a_sender_address_the_campaign_pauses_and_says_so(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection, sender_email="")
        add_people(connection, person("a"))
        add_campaign(connection)
    Desk(store, Recording()).run()
    with store.connect() as connection:
        row = connection.execute(select(campaign)).one()
    assert (row.state, "sender_email" in row.error) == ("paused", True)


def test_a_batch_refused_whole_fails_its_messages(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    Desk(store, Recording(Refused("422 nonsense"))).run()
    assert states(store) == {"a": ("failed", "provider_refused")}


def test_a_batch_in_doubt_is_not_repeated_after_its_key_is_forgotten(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    provider = Recording(Retry("no answer", in_doubt=True))
    desk = Desk(store, provider)
    desk.run()
    desk.wait(timedelta(hours=24))
    desk.run()
    assert (len(provider.calls), states(store)) == (1, {"a": ("failed", "in_doubt")})
    assert campaign_state(store) == "sent"

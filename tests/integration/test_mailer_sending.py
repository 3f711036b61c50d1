"""A campaign's way from its planning to the last mail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from services.mailer.app import Works
from services.mailer.health import Health
from services.mailer.resend_provider import ResendProvider
from shared.database.tables import campaign, mail_batch, message
from shared.domain.links import read_link
from shared.kafka import create_topics
from shared.settings import MailerSettings
from tests import mailing
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, campaign_state, organize, person, states
from tests.stack import eventually


@pytest.fixture(scope="session")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mailing.Sandbox]:
    with mailing.sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


def test_a_mail_goes_out_whole(store: Engine, inbox: mailing.Sandbox) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("whole", name="Zoë <b> & Co"))
        add_campaign(connection, body="Hi {first_name}, [look](https://shop.example/?n={first_name}).\n\n- one\n- two")
    provider = ResendProvider("key", inbox.url)
    Desk(store, provider).run()
    provider.close()
    (mail,) = [each for each in inbox.mails() if "whole@example.com" in each["to"]]
    assert mail["from"] == "Acme <hello@acme.example>"
    assert mail["subject"] == "For you, Zoë"
    assert 'href="https://shop.example/?n=Zo%C3%AB"' in mail["html"]
    assert "- one" in mail["text"]
    for part in (mail["html"], mail["text"]):
        assert "1 Long Road" in part
        assert "https://r.example/u/" in part
    link = mail["headers"]["List-Unsubscribe"]
    token = link.removeprefix("<https://r.example/u/").removesuffix(">")
    assert read_link("s3cret", "unsubscribe", token) == (ORGANIZATION, mail["headers"]["X-Regulars-Message"])
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    with store.connect() as connection:
        row = connection.execute(select(message)).one()
        ids = connection.execute(select(mail_batch.c.ids).where(mail_batch.c.batch_id == row.batch_id)).scalar_one()
    assert (row.state, json.loads(ids)) == ("sent", {str(row.message_id): mail["id"]})
    assert str(row.message_id) == mail["headers"]["X-Regulars-Message"]
    assert campaign_state(store) == "sent"


@pytest.mark.parametrize("stopped", ["paused", "cancelled"])
def test_a_stopped_campaign_sends_nothing_more(store: Engine, stopped: str) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(f"c{n:03}") for n in range(250)])
        add_campaign(connection)
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    desk.step()
    with store.begin() as connection:
        connection.execute(update(campaign).values(state=stopped))
    desk.run()
    found = list(states(store).values())
    rest = ("planned", None) if stopped == "paused" else ("skipped", "cancelled")
    assert (len(provider.recipients), found.count(("sent", None)), found.count(rest)) == (100, 100, 150)
    if stopped == "paused":
        with store.begin() as connection:
            connection.execute(update(campaign).values(state="sending"))
        desk.run()
        assert sorted(provider.recipients) == [f"c{n:03}@example.com" for n in range(250)]


def test_the_audience_is_as_the_campaign_says(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        connection.exec_driver_sql(
            "INSERT INTO segment (organization_id, segment_id, name, kind, slot) VALUES"
            " ('acme', 'vip', 'VIP', 'dynamic', 9), ('acme', 'risk', 'Risk', 'dynamic', 1)"
        )
        vip, both = b"\x00\x02", b"\x02\x02"
        rich = {"total_spent": 500, "visit_count": 3, "tags": ["gold", "x"]}
        add_people(
            connection,
            person("in", memberships=vip, **rich),
            person("in-both", memberships=both, **rich),
            person("in-none", **rich),
            person("short", memberships=b"\x01", **rich),
            person("poor", memberships=vip, **rich | {"total_spent": 499}),
            person("rare", memberships=vip, **rich | {"visit_count": 2}),
            person("untagged", memberships=vip, **rich | {"tags": ["silver"]}),
        )
        audience = {"include_segments": ["vip"], "exclude_segments": ["risk"], "minimum_spent": 500}
        add_campaign(connection, audience=audience | {"minimum_visits": 3, "tags": ["gold", "platinum"]})
    Desk(store, Recording()).run()
    assert set(states(store)) == {"in"}


def test_a_scheduled_campaign_waits_for_its_time(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection, state="scheduled", send_at=NOON + timedelta(minutes=30))
    provider = Recording()
    desk = Desk(store, provider)
    assert desk.plan() <= NOON + timedelta(minutes=30)
    assert states(store) == {}
    desk.now = NOON + timedelta(minutes=30)
    desk.run()
    assert (provider.recipients, campaign_state(store)) == (["a@example.com"], "sent")


def test_a_campaign_that_cannot_be_planned_fails_with_its_error_and_holds_up_nobody(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection, "broken", audience={"minimum_spent": "lots"}, priority=1)
        add_campaign(connection)
    provider = Recording()
    Desk(store, provider).run()
    with store.connect() as connection:
        row = connection.execute(select(campaign).where(campaign.c.campaign_id == "broken")).one()
    assert (row.state, row.error.startswith("Its audience cannot be read: ")) == ("failed", True)
    assert provider.recipients == ["a@example.com"]


def test_an_empty_audience_is_sent_at_once(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_campaign(connection)
    Desk(store, Recording()).run()
    assert campaign_state(store) == "sent"


def test_a_new_campaign_is_sent_at_once_when_it_is_announced(
    store: Engine, inbox: mailing.Sandbox, settings: Callable[..., Any], tmp_path: Path
) -> None:
    chosen = settings(MailerSettings, sandbox_url=inbox.url)
    create_topics(chosen)
    provider = ResendProvider("key", inbox.url)
    works = Works(chosen, provider, Health())
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("announced"))
    works.start()
    try:
        with store.begin() as connection:
            add_campaign(connection)
            mailing.notify(connection)
        eventually(lambda: campaign_state(store) == "sent", deadline=10)
        eventually(lambda: _batch_states(store) == ["published"], deadline=20)
    finally:
        works.stop()
        provider.close()
    assert "announced@example.com" in [mail["to"][0] for mail in inbox.mails()]


def _batch_states(store: Engine) -> list[str]:
    with store.connect() as connection:
        return list(connection.execute(select(mail_batch.c.state)).scalars())

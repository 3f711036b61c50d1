from __future__ import annotations

import psycopg

from shared.kafka import Topic, create_topics, producer
from shared.settings import Settings


def test_each_test_has_a_database_of_its_own(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE left_behind (id int)")


def test_what_another_test_left_is_gone(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('left_behind')").fetchone() == (None,)


def test_the_broker_acknowledges(settings, topic_prefix: str) -> None:
    chosen = settings(Settings)
    create_topics(chosen)
    sender = producer(chosen)
    try:
        assert sender.send(Topic.SALES.on(chosen), b"{}").get(10).offset == 0
    finally:
        sender.close()

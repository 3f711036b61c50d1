"""The stack that integration, end-to-end and fault tests share: started once a run, kept apart by databases and prefixes.

`REGULARS_TEST_STACK` chooses it: `local` (the default), `containers` (Docker, by testcontainers), or `external` with the
addresses in REGULARS_TEST_KAFKA and REGULARS_TEST_DATABASE.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis
from sqlalchemy.engine import make_url

from shared.database.migrate import upgrade
from shared.settings import Settings, load
from tests import stack

S = TypeVar("S", bound=Settings)

# A machine that is slow for a moment fails nothing. Tests that set other health checks name this one, too.
hypothesis.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A change is judged by the same examples each time; REGULARS_TEST_EXAMPLES=explore draws new ones.
hypothesis.register_profile("same", hypothesis.get_profile("explore"), derandomize=True)
hypothesis.load_profile(os.environ.get("REGULARS_TEST_EXAMPLES", "same"))

# structlog's own way shows the local variables of each frame in colours: seconds for a traceback through a web framework.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap servers."""
    with stack.kafka_server() as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """The address of the server's maintenance database."""
    with stack.database_server() as address:
        yield address


@pytest.fixture(scope="session")
def template(database_server: str) -> Iterator[str]:
    """The name of a migrated, empty database to clone from."""
    with _new_database(database_server) as (name, address):
        upgrade(address)
        yield name


@pytest.fixture
def database(database_server: str, template: str) -> Iterator[str]:
    """The address of a migrated database for this test alone."""
    with _new_database(database_server, template) as (_, address):
        yield address


@pytest.fixture
def empty_database(database_server: str) -> Iterator[str]:
    """The address of a database without a single table."""
    with _new_database(database_server) as (_, address):
        yield address


@pytest.fixture
def topic_prefix() -> str:
    """Before every topic and group name of this test."""
    return f"t{uuid.uuid4().hex[:12]}."


@pytest.fixture
def settings(kafka: str, database: str, topic_prefix: str) -> Callable[..., Any]:
    """`settings(IngestSettings, ingest_port=0)`: a service's settings for this test's database and topics."""

    def make(kind: type[S], **given: Any) -> S:
        return load(
            kind, **{"kafka": kafka, "database": database, "topic_prefix": topic_prefix, "partitions": 4} | given
        )

    return make


@contextmanager
def _new_database(server: str, template: str = "template1") -> Iterator[tuple[str, str]]:
    name = f"t_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name, make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

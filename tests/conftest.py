"""The stack that integration, end-to-end and fault tests share: started once a run, kept apart by databases and prefixes.

`REGULARS_TEST_STACK` chooses it: `local` (the default), `containers` (Docker, by testcontainers), or `external` with the
addresses in REGULARS_TEST_KAFKA and REGULARS_TEST_DATABASE.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis
from sqlalchemy import Engine

from shared.database.engine import engine
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
    with stack.new_database(database_server) as (name, address):
        upgrade(address)
        yield name


@pytest.fixture
def database(database_server: str, template: str) -> Iterator[str]:
    """The address of a migrated database for this test alone."""
    with stack.new_database(database_server, template) as (_, address):
        yield address


@pytest.fixture
def store(database: str) -> Iterator[Engine]:
    """The same database as the mailer reaches it."""
    made = engine(database)
    yield made
    made.dispose()


@pytest.fixture
def empty_database(database_server: str) -> Iterator[str]:
    """The address of a database without a single table."""
    with stack.new_database(database_server) as (_, address):
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

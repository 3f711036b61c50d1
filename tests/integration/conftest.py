from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

import tests.ingest
from services.admin import customer_events
from services.segmenter import express
from services.segmenter.batch import Batches
from services.segmenter.connection import connect
from shared.settings import AdminSettings, IngestSettings
from tests import admin, console
from tests.admin import Api
from tests.console import Marketer, Visit
from tests.coupons import Till
from tests.ingest import Service
from tests.segments import SEGMENTS, add_organization
from tests.till import NOW


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database) as connection:
        yield connection


@pytest.fixture(params=["plain", "express"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways of a batch, under the same tests."""
    if request.param == "plain":
        monkeypatch.setattr(express, "divide", lambda rows: ([], list(rows)))


@pytest.fixture
def batches(connection: psycopg.Connection[Any], way: None) -> Batches:
    """The segmenter's batches for the organization `demo`, with four segments."""
    add_organization(connection, "demo", SEGMENTS)
    return Batches(connection, "crm.mail.v1", lambda: NOW)


@pytest.fixture
def ingest(settings: Callable[..., Any]) -> Iterator[Service]:
    with tests.ingest.running(settings(IngestSettings)) as service:
        yield service


@pytest.fixture
def till(ingest: Service) -> Till:
    return Till(ingest.client, ingest.token)


@pytest.fixture
def api(settings: Callable[..., Any]) -> Iterator[Api]:
    with admin.running(settings(AdminSettings)) as api:
        yield api


@pytest.fixture
def nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No segmenter runs here, so that admin has nothing to wait for."""
    monkeypatch.setattr(customer_events, "COUNTED_SECONDS", 0.0)


@pytest.fixture
def visit(api: Api) -> Iterator[Visit]:
    """Signs somebody in at the console of `api`."""
    with console.visits(api) as visit:
        yield visit


@pytest.fixture
def marketer(api: Api, visit: Visit) -> Marketer:
    return Marketer(visit(console.add_user(api, "marketer")))

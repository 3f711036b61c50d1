"""The text of an array means to PostgreSQL what the list meant here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from shared.database.arrays import array
from shared.database.engine import engine

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)) | st.sampled_from('",\\{} '))


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    store = engine(database)
    with store.connect() as made:
        yield made
    store.dispose()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXTS | st.none(), max_size=6))
@example(['a","b'])
@example(["a", '"', ""])
@example(["NULL", None, "\\"])
def test_an_array_is_its_list(connection: Connection, values: list[str | None]) -> None:
    assert connection.execute(text("SELECT CAST(:given AS text[])"), {"given": array(values)}).scalar() == values

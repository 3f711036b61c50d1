"""The revisions give exactly the tables that the code works with."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from shared.database.engine import engine
from shared.database.migrate import is_current, upgrade
from shared.database.tables import metadata


def test_migrations_give_the_tables(empty_database: str) -> None:
    upgrade(empty_database)
    reader = engine(empty_database)
    with reader.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []
    reader.dispose()


def test_migrating_again_changes_nothing(empty_database: str) -> None:
    assert not is_current(empty_database)
    upgrade(empty_database)
    upgrade(empty_database)
    assert is_current(empty_database)


def test_every_table_leads_with_organization_id() -> None:
    for table in metadata.tables.values():
        assert table.primary_key.columns.keys()[0] == "organization_id", table.name
        for index in table.indexes:
            assert next(iter(index.expressions)).key == "organization_id", index.name

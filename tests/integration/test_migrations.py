"""The revisions give exactly the tables that the code works with."""

from __future__ import annotations

import json
from uuid import uuid4

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, insert, select

from services.mailer.batches import Letters, letters_of
from shared.database.engine import engine
from shared.database.migrate import is_current, upgrade
from shared.database.tables import mail_batch, metadata


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


def test_what_is_under_way_is_sent_again_as_it_was(empty_database: str) -> None:
    upgrade(empty_database, "0017")
    kept = [
        ["m-1", "c-1", "a@x.example", {"first_name": "Zoë", "coupon_code": "A"}],
        ["m-2", "c-2", "b", {"first_name": ""}, 1],
    ]
    store = engine(empty_database)
    with store.begin() as connection:
        given = {"batch_id": uuid4(), "letters": json.dumps(kept).encode()}
        connection.execute(
            insert(mail_batch).values(
                organization_id="demo",
                campaign_id="c",
                content_id="x",
                state="claimed",
                owner="o",
                lease_until=func.now(),
                claimed_at=func.now(),
                **given,
            )
        )
    upgrade(empty_database)
    with store.begin() as connection:
        letters = letters_of(connection.execute(select(mail_batch.c.letters)).scalar_one())
    store.dispose()
    assert letters == Letters(
        ["m-1", "m-2"],
        ["c-1", "c-2"],
        ["a@x.example", "b"],
        {"first_name": ["Zoë", ""], "coupon_code": ["A", ""]},
        [None, 1],
    )


def test_every_table_leads_with_organization_id() -> None:
    for table in metadata.tables.values():
        assert table.primary_key.columns.keys()[0] == "organization_id", table.name
        for index in table.indexes:
            assert next(iter(index.expressions)).key == "organization_id", index.name

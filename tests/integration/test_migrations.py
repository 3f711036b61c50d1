"""The revisions give exactly the tables that the code works with."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, insert, select

from services.mailer.batches import Letters, letters_of
from services.segmenter.identity import digest
from shared.database.engine import engine
from shared.database.migrate import is_current, upgrade
from shared.database.tables import campaign, customer_merge, erasure, ledger, mail_batch, mail_slot, message, metadata


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


def test_the_merges_of_the_erased_go_unless_something_since_goes_by_them(empty_database: str) -> None:
    upgrade(empty_database, "0018")
    store = engine(empty_database)
    day = datetime(2026, 11, 20, tzinfo=UTC)
    merges = [  # customer, into, root, days after the erasure
        ("gone-1", "gone-2", "gone-3", -2),
        ("gone-2", "gone-3", "gone-3", -1),
        ("again", "other", "other", 1),
        ("buys", "root", "root", -1),
        ("below", "root", "root", -1),
        ("late", "middle", "end", 1),
        ("middle", "end", "end", -1),
        ("kept", "alive", "alive", -1),
    ]
    erased = ("gone-1", "gone-2", "gone-3", "again", "other", "buys", "below", "root", "middle", "end")
    with store.begin() as connection:
        for name in ("demo", "elsewhere"):
            for customer_id, into, root, days in merges:
                edge = {"into_customer_id": into, "root_customer_id": root, "merged_at": day + timedelta(days)}
                edge |= {"organization_id": name, "customer_id": customer_id, "event_key": customer_id}
                connection.execute(insert(customer_merge).values(edge))
        for customer_id in erased:
            key = {"organization_id": "demo", "customer_digest": digest("demo", customer_id)}
            connection.execute(insert(erasure).values(**key, erased_at=day))
        sale = {"organization_id": "demo", "event_id": "e", "source": "s", "type": "sale.completed"}
        sale |= {"customer_id": "root", "published_customer_id": "buys", "occurred_at": day}
        connection.execute(insert(ledger).values(sale))
    upgrade(empty_database)
    with store.connect() as connection:
        rows = connection.execute(select(customer_merge.c.organization_id, customer_merge.c.customer_id)).all()
    store.dispose()
    left = {name: {row.customer_id for row in rows if row.organization_id == name} for name in ("demo", "elsewhere")}
    assert left["demo"] == {"again", "buys", "below", "late", "middle", "kept"}
    assert left["elsewhere"] == {customer_id for customer_id, *_ in merges}


def test_what_was_told_and_taken_keeps_its_mail(empty_database: str) -> None:
    upgrade(empty_database, "0018")
    store, mails = engine(empty_database), [uuid4() for _ in range(3)]
    letters = Letters([*map(str, mails)], ["c-1", "c-2", "c-3"], [], {}, [])
    one = {"organization_id": "demo", "campaign_id": "c"}
    with store.begin() as connection:
        connection.execute(insert(campaign).values(**one, name="C", type="promotional", subject="", body=""))
        mail = {"customer_id": "c-1", "occasion": "send", "message_id": mails[0], "state": "sent"}
        connection.execute(insert(message).values(one | mail))
        slot = (
            "INSERT INTO mail_slot (organization_id, customer_id, last_on, message_id) VALUES ('demo', %s, now(), %s)"
        )
        for customer_id, message_id in {"c-1": mails[0], "c-2": uuid4()}.items():
            connection.exec_driver_sql(slot, (customer_id, message_id))
        connection.execute(
            insert(mail_batch).values(
                **one,
                batch_id=uuid4(),
                content_id="x",
                state="accepted",
                owner="o",
                lease_until=func.now(),
                claimed_at=func.now(),
                letters=msgspec.json.encode(letters),
                ids=msgspec.json.encode(["re_1", None, ""]),
            )
        )
    upgrade(empty_database)
    with store.begin() as connection:
        told = json.loads(connection.execute(select(mail_batch.c.ids)).scalar_one())
        slots = {row.customer_id: (row.campaign_id, row.occasion) for row in connection.execute(select(mail_slot))}
    store.dispose()
    assert told == {str(mails[0]): "re_1", str(mails[2]): None}
    assert slots == {"c-1": ("c", "send"), "c-2": (None, None)}


def test_every_table_leads_with_organization_id() -> None:
    for table in metadata.tables.values():
        assert table.primary_key.columns.keys()[0] == "organization_id", table.name
        for index in table.indexes:
            assert "organization_id" in str(next(iter(index.expressions))), index.name  # of GIN: within the expression

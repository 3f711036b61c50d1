from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.admin import audit, import_command, organizations
from services.admin.transactions import transaction
from shared.errors import InvalidError, NotFoundError, TransientError
from shared.kafka import Topic, create_topics
from shared.settings import Settings
from tests.ingest import consume

GOOD = """\ufeffId,Full name,email,tags,marketing_consent,visit_count
c-1,Asha Rao,asha@example.com,VIP;Bakery,yes,7
c-2,"Rao, Ravi",,,no,3
"""


@pytest.fixture
def corner(settings: Callable[..., Any]) -> Settings:
    chosen: Settings = settings(Settings)
    create_topics(chosen)
    organizations.create(chosen.database, "corner", "Corner", "EUR", "Europe/Rome")
    return chosen


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


MAPPING = ["customer_id=Id", "name=Full name"]


def published(corner: Settings) -> list[dict[str, Any]]:
    events = [json.loads(value) for _, value in consume(corner, Topic.CUSTOMERS)]
    return sorted((event["data"] | {"type": event["type"], "source": event["source"]} for event in events), key=as_text)


def test_rows_become_events_of_the_contract(corner: Settings, file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    assert import_command.run(corner, "corner", file, MAPPING, dry_run=False)
    with transaction(corner.database) as connection:
        told = audit.entries(connection, "corner", 1, None).items[0]
    assert (told.actor, told.action, told.detail) == (
        "command line",
        "customers.imported",
        {"customers": 2, "refused": 0},
    )
    own = {"organization_id": "corner", "source": "/corner/import"}
    assert published(corner) == sorted(
        [
            own
            | {"type": "customer.upserted", "customer_id": "c-1", "name": "Asha Rao", "email": "asha@example.com"}
            | {"tags": ["VIP", "Bakery"]},
            own
            | {"type": "customer.consent_changed", "customer_id": "c-1", "marketing_consent": True, "where": "import"},
            own | {"type": "customer.upserted", "customer_id": "c-2", "name": "Rao, Ravi"},
            own
            | {"type": "customer.consent_changed", "customer_id": "c-2", "marketing_consent": False, "where": "import"},
        ],
        key=as_text,
    )


def test_a_dry_run_publishes_nothing(corner: Settings, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD, encoding="utf-8")
    assert import_command.run(corner, "corner", file, MAPPING, dry_run=True)
    assert "2 customers would be published, 0 rows refused" in capsys.readouterr().out
    assert published(corner) == []


def test_refused_rows_are_told_with_number_field_and_reason(
    corner: Settings, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        "c-1,good@example.com",
        "c-2,nonsense",
        ",x@example.com",
        "c-4,d@example.com,too,many",
        "c-5,[red]@x",
        "c-6",
    ]
    file.write_text("customer_id,email\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert not import_command.run(corner, "corner", file, [], dry_run=False)
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("row ")]
    assert [line.split(":")[:2] for line in lines] == [
        ["row 3", " email"],
        ["row 4", " customer_id"],
        ["row 5", " has more cells than the header; quote those that hold a comma"],
    ]
    assert '"nonsense"' in lines[0]
    assert "3 customers published, 3 rows refused" in told.out
    assert [event["customer_id"] for event in published(corner)] == ["c-1", "c-5", "c-6"]


def test_files_that_are_no_csv_in_utf_8_are_refused(corner: Settings, file: Path) -> None:
    for content in (b"", b"customer_id,name\nc-1,\xff\xfe\n", b'customer_id,name\nc-1,"open', b"name\nAsha\n"):
        file.write_bytes(content)
        with pytest.raises(InvalidError):
            import_command.run(corner, "corner", file, [], dry_run=True)


def test_an_unknown_organization_and_an_absent_kafka_are_said_at_once(
    corner: Settings, file: Path, settings: Callable[..., Any]
) -> None:
    file.write_text(GOOD, encoding="utf-8")
    with pytest.raises(NotFoundError):
        import_command.run(corner, "nowhere", file, MAPPING, dry_run=True)
    with pytest.raises(TransientError):
        import_command.run(settings(Settings, kafka="127.0.0.1:1"), "corner", file, MAPPING, dry_run=False)

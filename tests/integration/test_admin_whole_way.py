"""With the real segmenter: what a marketer changes comes back in the answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.admin import import_command
from shared.settings import AdminSettings
from tests.admin import Api, running
from tests.stack import eventually


@pytest.fixture
def api(settings: Callable[..., Any], tmp_path: Path) -> Iterator[Api]:
    chosen = settings(AdminSettings)
    environment = os.environ | {
        "REGULARS_KAFKA": chosen.kafka,
        "REGULARS_DATABASE": chosen.database,
        "REGULARS_TOPIC_PREFIX": chosen.topic_prefix,
        "REGULARS_LANES": "1",
    }
    with running(chosen) as api, (tmp_path / "segmenter.log").open("wb") as log:
        segmenter = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "segmenter"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:

            def counts() -> bool:
                assert segmenter.poll() is None, Path(log.name).read_text()
                return api("POST", "/customers", {"customer_id": "first"}, Idempotency_Key="k").status_code == 201

            # From when its partitions are assigned; what was published before is waiting there.
            eventually(counts, deadline=90)
            yield api
        finally:
            segmenter.kill()
            segmenter.wait(20)


def test_customers_are_created_changed_and_erased(api: Api) -> None:
    made = api(
        "POST", "/customers", {"name": "Asha", "birthday": "--02-29", "tags": ["VIP"], "marketing_consent": True}
    )
    assert made.status_code == 201, made.text
    asha = made.json()
    assert asha["customer_id"].startswith("c-")
    assert (asha["birthday"], asha["tags"], asha["marketing_consent"]) == ("--02-29", ["VIP"], True)
    assert asha["consent_where"] == "console"
    path = f"/customers/{asha['customer_id']}"
    changed = api("PATCH", path, {"name": "Asha Rao", "tags": None}, If_Match=made.headers["etag"])
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["tags"], changed.json()["birthday"]) == ("Asha Rao", [], "--02-29")
    assert api("PATCH", path, {"name": "X"}, If_Match=made.headers["etag"]).status_code == 412
    assert api("GET", path).headers["etag"] == changed.headers["etag"]
    types = [item["type"] for item in api.get(f"{path}/timeline")["items"]]
    assert sorted(types) == ["customer.consent_changed", "customer.upserted", "customer.upserted"]
    assert api("DELETE", path).status_code == 204
    assert api("GET", path).status_code == 404


def test_edits_of_one_profile_at_once_do_not_overwrite_each_other(api: Api) -> None:
    tag = api("GET", "/customers/first").headers["etag"]
    with ThreadPoolExecutor(4) as threads:
        edits = list(threads.map(lambda n: api("PATCH", "/customers/first", {"name": f"N{n}"}, If_Match=tag), range(4)))
    assert sorted(edit.status_code for edit in edits) == [200, 412, 412, 412]
    won = next(edit.json()["name"] for edit in edits if edit.status_code == 200)
    assert api.get("/customers/first")["name"] == won


def test_segments_fill_move_and_go(api: Api) -> None:
    api("POST", "/customers", {"customer_id": "c-1", "tags": ["VIP"]})
    tagged = {"field": "tags", "op": "has_any", "value": ["VIP"]}
    assert api("POST", "/segments/preview", {"criteria": tagged}).json()["count"] == 1
    api("POST", "/segments", {"name": "Tagged", "criteria": tagged})
    eventually(lambda: api.get("/segments/tagged")["state"] == "live")
    assert api.get("/segments/tagged")["member_count"] == 1
    assert api.get("/customers/c-1")["segments"] == ["tagged"]

    assert api("PATCH", "/customers/first", {"tags": ["VIP"]}).json()["segments"] == ["tagged"]
    api("PATCH", "/segments/tagged", {"criteria": {"not": tagged}})
    eventually(lambda: api.get("/segments/tagged")["state"] == "live")
    assert api.get("/segments/tagged/members")["items"] == []

    api("POST", "/segments", {"name": "List", "kind": "static"})
    eventually(lambda: api.get("/segments/list")["state"] == "live")
    assert api("POST", "/segments/list/members", {"customer_ids": ["c-1", "first"]}).status_code == 204
    assert [each["customer_id"] for each in api.get("/segments/list/members")["items"]] == ["c-1", "first"]
    assert api("DELETE", "/segments/list/members", {"customer_ids": ["first"]}).status_code == 204
    assert api.get("/segments/list")["member_count"] == 1
    csv = {"authorization": f"Bearer {api.keys['demo', 'owner']}", "content-type": "text/csv"}
    sent = api.client.post("/v1/segments/list/members.csv", content=b"customer_id\nfirst\n", headers=csv)
    assert sent.status_code == 200
    assert api.get("/customers/first")["segments"] == ["list"]

    assert api("DELETE", "/segments/list").status_code == 204
    with psycopg.connect(api.settings.database, autocommit=True) as connection:
        query = "SELECT 1 FROM segment WHERE segment_id = 'list'"
        eventually(lambda: connection.execute(query).fetchone() is None)
    assert api.get("/customers/c-1")["segments"] == []


def test_imported_customers_arrive(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("customer_id,name,marketing_consent\nc-7,Ravi,yes\n", encoding="utf-8")
    assert import_command.run(api.settings, "demo", file, [], dry_run=False)
    eventually(
        lambda: api("GET", "/customers/c-7").status_code == 200 and api.get("/customers/c-7")["marketing_consent"]
    )
    assert api.get("/customers/c-7")["consent_where"] == "import"

"""Files at the console: customers from a CSV, and lists into static segments."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from services.admin import imports
from shared.database.tables import customer_import, static_member
from shared.kafka import Topic
from tests import console
from tests.admin import Api
from tests.console import Visit
from tests.ingest import consume
from tests.stack import eventually

FILE = "Id,Full name,email\nc-1,Asha <b>Rao</b>,asha@example.com\nc-2,Ravi,nonsense\n,Nobody,x@example.com\nc-4,Dora,\n"
MEANS = {"column": ["Id", "Full name", "email"], "means": ["customer_id", "name", "email"]}


def send(client: httpx.Client, path: str, file: str | bytes, **form: Any) -> httpx.Response:
    given = {"form_token": console.form_token(client)} | form
    return client.post(f"/console{path}", data=given, files={"file": ("people.csv", file, "text/csv")})


def published(api: Api) -> list[dict[str, Any]]:
    return [json.loads(value)["data"] for _, value in consume(api.settings, Topic.CUSTOMERS)]


def test_a_file_is_judged_row_by_row_and_then_imported_without_the_bad_rows(api: Api, visit: Visit) -> None:
    client = visit(console.add_user(api, "marketer"))
    asked = send(client, "/import-customers", FILE, do="check")
    assert asked.status_code == 422
    assert "need one that is the customer&#39;s id" in asked.text
    assert '<option value="email" selected>' in asked.text
    checked = send(client, "/import-customers", FILE, do="check", **MEANS).text
    assert "<b>2 customers</b> can be imported, 2 rows cannot" in checked
    assert "<td>3</td><td>email must be" in checked
    assert "<td>4</td><td>customer id is empty" in checked
    assert published(api) == []
    started = send(client, "/import-customers", FILE, do="import", **MEANS)
    place = started.headers["location"]
    eventually(lambda: "2 customers imported" in client.get(place).text or None)
    assert "2 rows could not be taken" in client.get(place).text
    assert published(api) == [
        {"organization_id": "demo", "customer_id": "c-1", "name": "Asha <b>Rao</b>", "email": "asha@example.com"},
        {"organization_id": "demo", "customer_id": "c-4", "name": "Dora"},
    ]
    other = visit(console.add_user(api, "marketer", "other"), "other")
    assert other.get(place).status_code == 404


def test_what_cannot_be_imported_says_so_and_publishes_nothing(api: Api, visit: Visit) -> None:
    client = visit(console.add_user(api, "marketer"))
    twice = MEANS | {"means": ["customer_id", "email", "email"]}
    for file, means, told in [
        ("", MEANS, "is missing or empty"),
        (b"Id\n\xff\n", MEANS, "cannot be read after row"),
        (FILE, twice, "name email more than once"),
    ]:
        answer = send(client, "/import-customers", file, do="import", **means)
        assert answer.status_code == 422
        assert told in answer.text, told
    assert published(api) == []
    viewer = visit(console.add_user(api, "viewer"))
    assert send(viewer, "/import-customers", FILE, do="import", **MEANS).status_code == 403
    assert client.post("/console/import-customers", files={"file": FILE}).status_code == 403


def test_an_import_tells_when_kafka_is_away_and_when_its_process_died(
    api: Api, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = visit(console.add_user(api, "marketer"))
    monkeypatch.setattr(api.app.state.admin.imports._settings, "kafka", "127.0.0.1:1")
    place = send(client, "/import-customers", FILE, do="import", **MEANS).headers["location"]
    eventually(lambda: "Kafka does not answer" in client.get(place).text or None)
    with api.engine.begin() as connection:
        long_ago = customer_import.c.told_at - imports.SILENT - timedelta(seconds=1)
        connection.execute(update(customer_import).values(state="running", failure=None, told_at=long_ago))
    assert "the service was restarted" in client.get(place).text


def test_a_list_goes_into_a_static_segment_and_tells_whom_it_left_out(api: Api, visit: Visit) -> None:
    api.add_segment("fair", 9)
    api.add_segment("vip", 10, kind="dynamic", criteria={"field": "visit_count", "op": "gte", "value": 3})
    api.add_customer("c-1", memberships=b"\x00\x02")  # as the segmenter will have set it
    api.add_customer("c-secret", "other")
    client = visit(console.add_user(api, "marketer"))
    added = send(client, "/segments/fair/list", "customer_id,note\nc-1,x\nc-secret,<b>y\n<i>,\n").text
    assert "1 customer added, 2 rows left out" in added
    assert '<td>3</td><td class="id">c-secret</td><td>there is no such customer' in added
    assert "&lt;i&gt;" in added
    with api.engine.connect() as connection:
        assert list(connection.execute(select(static_member.c.customer_id)).scalars()) == ["c-1"]
    assert "must have a header with the column customer_id" in send(client, "/segments/fair/list", "id\nc-1\n").text
    assert "follow from its criteria" in send(client, "/segments/vip/list", "customer_id\nc-1\n").text
    large = send(client, "/segments/fair/list", "customer_id\n" + "c-1\n" * 300_000)
    assert large.status_code == 413


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_a_marketer_imports_a_file_in_a_browser(api: Api) -> None:
    email = console.add_user(api, "marketer")
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email, width=390)
        page.goto("/console/customers")
        page.get_by_role("link", name="Import a CSV").first.click()
        file = {"name": "people.csv", "mimeType": "text/csv", "buffer": FILE.encode()}
        page.get_by_label("CSV file").set_input_files(file)  # type: ignore[arg-type] - a FilePayload
        page.get_by_role("button", name="Check the file").click()
        page.get_by_label("What Id is").select_option("customer_id")
        page.get_by_label("What Full name is").select_option("name")
        page.get_by_role("button", name="Check again").click()
        page.get_by_text("2 customers can be imported").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("button", name="Import 2 customers").click()
        page.get_by_role("heading", name="2 customers imported").wait_for()
    assert {each["customer_id"] for each in published(api)} == {"c-1", "c-4"}

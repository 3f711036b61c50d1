from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.database.tables import audit_log, ledger, segment_change, static_member, suppression
from shared.keys import Role
from shared.settings import AdminSettings
from tests.admin import ROLES, Api, running

SECRET = "only-of-other"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
def api(settings: Callable[..., Any]) -> Iterator[Api]:
    with running(settings(AdminSettings)) as api:
        yield api


def routes(api: Api) -> dict[str, dict[str, Any]]:
    """Path to its methods, as the OpenAPI document tells them: new ones are covered by themselves."""
    paths: dict[str, dict[str, Any]] = api.app.openapi()["paths"]
    assert len(paths) > 20
    return paths


def filled(path: str) -> str:
    """A path with the ids of things that both organizations have, or only `other` has."""
    return re.sub(r"\{(\w+?)(:path)?\}", SECRET, path).removeprefix("/v1")


def test_every_route_refuses_who_shows_no_key(api: Api) -> None:
    for path, methods in routes(api).items():
        for method in methods:
            answer = api.client.request(method.upper(), "/v1" + filled(path))
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"


def test_every_route_refuses_a_terminal(api: Api) -> None:
    for path, methods in routes(api).items():
        for method in methods:
            answer = api(method.upper(), filled(path), role="terminal")
            assert answer.status_code == 403, (method, path)
            assert "terminal" in answer.json()["detail"]


def test_a_key_that_nobody_made_is_refused(api: Api) -> None:
    api.keys["demo", "stolen"] = api.keys["demo", "owner"][:-4] + "AAAA"
    assert api("GET", "/customers", role="stolen").status_code == 401


REACHED: list[tuple[Role, str, str, Any]] = [
    ("viewer", "GET", "/customers", None),
    ("viewer", "GET", "/customers.csv", None),
    ("viewer", "GET", "/segments", None),
    ("viewer", "POST", "/segments/preview", {"criteria": {"field": "visit_count", "op": "gte", "value": 1}}),
    ("viewer", "GET", "/campaigns", None),
    ("viewer", "GET", "/organization", None),
    ("marketer", "PATCH", "/customers/c-1", {}),
    ("marketer", "GET", "/customers/c-1/export", None),
    ("marketer", "POST", "/segments", {"name": "A list", "kind": "static"}),
    ("marketer", "PATCH", "/segments/at-risk", {"color": "#000000"}),
    ("marketer", "POST", "/campaigns", {"name": "Hello", "subject": "Hello", "body": "Hello"}),
    ("marketer", "POST", "/campaigns/birthday/activate", None),
    ("owner", "PATCH", "/organization", {"name": "New name"}),
    ("owner", "GET", "/keys", None),
    ("owner", "POST", "/keys", {"role": "viewer"}),
    ("owner", "GET", "/audit-log", None),
]


def test_each_role_reaches_as_far_as_it_should(api: Api) -> None:
    api.add_customer("c-1")
    for least, method, path, body in REACHED:
        for role in ROLES:
            answer = api(method, path, body, role=role)
            assert (answer.status_code < 300) == (ROLES.index(role) >= ROLES.index(least)), (role, path, answer.text)
            assert answer.status_code < 300 or answer.status_code == 403
            if path == "/segments" and answer.status_code == 201:
                assert api("DELETE", f"/segments/{answer.json()['id']}").status_code == 204


def fill_other(api: Api) -> None:
    """Give `other` one of everything, under an id and with texts that `demo` must never see."""
    other = {"organization": "other"}
    api.add_segment(SECRET, 9, **other)
    api.add_customer(SECRET, name=SECRET, email=f"{SECRET}@example.com", memberships=bytes([0, 2]), **other)
    api.add_campaign(SECRET, subject=SECRET, **other)
    api.add_message(SECRET, SECRET, sent_at=NOW, email=SECRET, **other)
    event = {"source": "/other/x", "event_id": SECRET, "type": "customer.upserted", "occurred_at": NOW}
    api.insert(ledger, organization_id="other", customer_id=SECRET, payload={"name": SECRET}, **event)
    change = {"customer_id": SECRET, "at": NOW, "cause": "event", "entered": [SECRET], "left": []}
    api.insert(segment_change, organization_id="other", outbox_id=1, **change)
    api.insert(static_member, organization_id="other", segment_id=SECRET, customer_id=SECRET)
    api.insert(suppression, organization_id="other", email=f"{SECRET}@example.com", reason="bounce")
    api.insert(audit_log, organization_id="other", actor=SECRET, action=SECRET, subject=SECRET)


def test_no_reading_route_shows_anything_of_another_organization(api: Api) -> None:
    fill_other(api)
    reading = [path for path, methods in routes(api).items() if "get" in methods]
    for path in reading:
        own = api("GET", filled(path), organization="other")
        assert own.status_code == 200, (path, own.text)
        foreign = api("GET", filled(path))
        shown = foreign.text
        if foreign.status_code == 404:
            shown = json.dumps(foreign.json() | {"detail": ""})  # it repeats what was asked for
        assert SECRET not in shown, path
        assert foreign.status_code == (404 if "{" in path else 200), path
    # The proof proves something: its own key does see it.
    for path in (
        "/customers",
        "/customers.csv",
        "/segments",
        "/campaigns",
        "/audit-log",
        f"/customers/{SECRET}/timeline",
    ):
        assert SECRET in api("GET", path, organization="other").text, path


def test_no_changing_route_reaches_another_organization(api: Api) -> None:
    fill_other(api)
    bodies = {"PATCH": {"name": "Mine now"}, "members": {"customer_ids": [SECRET]}, "send": {"at": None}}
    before = {path: api("GET", path, organization="other").text for path in ("/customers", "/segments", "/campaigns")}
    for path, methods in routes(api).items():
        for method in {"post", "patch", "delete"} & set(methods):
            if "{" in path:
                body = bodies.get(method.upper(), bodies.get(path.rpartition("/")[2]))
                assert api(method.upper(), filled(path), body).status_code == 404, (method, path)
    assert {path: api("GET", path, organization="other").text for path in before} == before

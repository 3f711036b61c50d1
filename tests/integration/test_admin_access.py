from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.database.tables import (
    audit_log,
    coupon,
    coupon_code,
    coupon_grant,
    coupon_use,
    ledger,
    segment_change,
    static_member,
    suppression,
)
from shared.keys import Role
from tests.admin import ROLES, Api

TWIN = "twin"
SECRET = "only-of-other"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("nobody_counts")


def routes(api: Api) -> dict[str, dict[str, Any]]:
    """Path to its methods, as the OpenAPI document tells them: new ones are covered by themselves."""
    paths: dict[str, dict[str, Any]] = api.app.openapi()["paths"]
    assert len(paths) > 20
    return paths


def filled(path: str) -> str:
    """A path with an id in it."""
    return re.sub(r"\{(\w+?)(:path)?\}", TWIN, path).removeprefix("/v1")


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
    ("viewer", "GET", "/coupons", None),
    ("marketer", "POST", "/coupons", {"type": "fixed", "value": 100}),
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


def fill(api: Api, organization: str, words: str) -> None:
    """Give an organization one of everything: ids are always TWIN, what it says is `words`."""
    own = {"organization": organization}
    api.add_segment(TWIN, 9, name=words, **own)
    api.add_customer(TWIN, name=words, email=f"{words}@example.com", memberships=bytes([0, 2]), **own)
    api.add_campaign(TWIN, subject=words, **own)
    api.add_message(TWIN, TWIN, state="sent", sent_at=NOW, email=words, **own)
    event = {"source": words, "event_id": words, "type": "customer.upserted", "occurred_at": NOW}
    api.insert(ledger, organization_id=organization, customer_id=TWIN, payload={"name": words}, **event)
    change = {"customer_id": TWIN, "at": NOW, "cause": "event", "entered": [words], "left": []}
    api.insert(segment_change, organization_id=organization, change_id=1, **change)
    api.insert(static_member, organization_id=organization, segment_id=TWIN, customer_id=TWIN)
    uses = {"code": TWIN.upper(), "coupon_code": TWIN.upper(), "customer_id": words}
    api.insert(coupon, organization_id=organization, code=TWIN.upper(), name=words, type="fixed", value=1)
    api.insert(coupon_code, organization_id=organization, **uses)
    api.insert(coupon_grant, organization_id=organization, coupon_code=TWIN.upper(), customer_id=words, granted_by="t")
    redeemed = {"state": "redeemed", "discount": 1, "redeemed_at": NOW, "store_id": words}
    api.insert(coupon_use, organization_id=organization, sale_id=words, **uses, **redeemed)
    api.insert(suppression, organization_id=organization, email=f"{words}@example.com", reason="bounce")
    api.insert(audit_log, organization_id=organization, actor=words, action=words, subject=words)


def test_no_reading_route_shows_anything_of_another_organization(api: Api) -> None:
    fill(api, "other", SECRET)
    reading = [filled(path) for path, methods in routes(api).items() if "get" in methods]
    showing = 0
    for path in reading:
        foreign = api("GET", path)
        assert foreign.status_code == (404 if TWIN in path else 200), path
        assert SECRET not in foreign.text, path
        # The proof proves something: its own key does see it.
        showing += SECRET in api("GET", path, organization="other").text
    assert showing >= 17
    # Nor where both have things of the same ids.
    fill(api, "demo", "of-demo")
    for path in reading:
        own = api("GET", path)
        assert own.status_code == 200, path
        assert SECRET not in own.text, path


def test_no_changing_route_reaches_another_organization(api: Api) -> None:
    fill(api, "other", SECRET)
    bodies = {
        "members": {"customer_ids": [TWIN]},
        "members.csv": f"customer_id\n{TWIN}".encode(),
        "send": {"at": None},
        "test": {"to": ["owner@example.com"]},
        "grants": {"customer_id": TWIN},
        "unique-codes": {"count": 1},
    }
    reading = [filled(path) for path, methods in routes(api).items() if "get" in methods]

    def seen_by_other() -> dict[str, str]:
        shown = {path: api("GET", path, organization="other").text for path in reading}
        return {path: re.sub(r'"exported_at":"[^"]+"', "", text) for path, text in shown.items()}

    def change_all() -> dict[str, int]:
        found = {}
        for wanted in ("post", "patch", "delete"):
            # The parts of a thing before the thing itself.
            for path in sorted(routes(api), key=len, reverse=True):
                if "{" in path and wanted in routes(api)[path]:
                    body = {"name": "Mine now"} if wanted == "patch" else bodies.get(path.rpartition("/")[2])
                    found[f"{wanted} {path}"] = api(wanted.upper(), filled(path), body).status_code
        return found

    before = seen_by_other()
    assert set(change_all().values()) == {404}
    fill(api, "demo", "of-demo")
    # Its own things it does change.
    assert {status for status in change_all().values() if status < 300} == {200, 201, 202, 204}
    assert seen_by_other() == before

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from services.admin import organizations
from services.admin.commands import app as commands
from services.admin.starting_segments import Thresholds
from shared.clock import utc_now
from shared.errors import ConflictError, InvalidError, NotFoundError
from shared.keys import Keyring
from shared.settings import AdminSettings
from tests.admin import Api, running


@pytest.fixture
def regulars(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., str]:
    """Runs a command on this test's database; gives what it prints."""
    monkeypatch.setenv("REGULARS_DATABASE", database)
    monkeypatch.setenv("REGULARS_DATA_DIR", str(tmp_path))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_a_new_organization_answers_to_its_first_keys(database: str) -> None:
    keys = organizations.create(database, "corner", "Corner", "EUR", "Europe/Rome", ready_made=False)
    keyring = Keyring(database)
    roles = {name: keyring.authenticate(secret) for name, secret in keys.items()}
    keyring.close()
    assert {name: key.role for name, key in roles.items() if key} == {"terminal": "terminal", "owner": "owner"}
    assert organizations.exists(database, "corner")
    assert not organizations.exists(database, "other")
    with pytest.raises(ConflictError):
        organizations.create(database, "corner", "Corner", "EUR", "Europe/Rome")


def test_what_no_organization_can_be_is_refused(database: str) -> None:
    good = {"organization_id": "corner", "name": "Corner", "currency": "EUR", "time_zone": "Europe/Rome"}
    for field, value in (("organization_id", "Big Corner"), ("name", ""), ("currency", "EURO"), ("time_zone", "Rome")):
        with pytest.raises(InvalidError) as refused:
            organizations.create(database, **good | {field: value})  # type: ignore[arg-type]
        assert refused.value.field == field
    assert not organizations.exists(database, "corner")


def test_thresholds_of_the_caller_go_into_the_segments(settings: Callable[..., Any]) -> None:
    with running(settings(AdminSettings)) as api:
        given = Thresholds(vip_spent=400_000, high_spent=150_000, vip_visits=50, vip_discount=500)
        keys = organizations.create(
            api.settings.database, "grocer", "Grocer", "USD", "America/New_York", thresholds=given
        )
        api.keys["grocer", "owner"] = keys["owner"]
        vip = api.get("/segments/vip-customers", organization="grocer")
        assert vip["summary"] == "has spent at least $4,000.00 and has at least 50 visits"


def test_settings_change_one_by_one(api: Api) -> None:
    changed = api("PATCH", "/organization", {"name": "New", "sender_email": "hi@example.com"}).json()
    assert (changed["name"], changed["sender_email"], changed["currency"]) == ("New", "hi@example.com", "INR")
    quiet = api("PATCH", "/organization", {"quiet_from": "21:00", "quiet_until": "08:30"}).json()
    assert (quiet["quiet_from"], quiet["quiet_until"], quiet["name"]) == ("21:00:00", "08:30:00", "New")
    assert (quiet["tracks_mail"], quiet["verify_addresses"]) == (True, False)
    told = api("PATCH", "/organization", {"tracks_mail": False, "verify_addresses": True}).json()
    assert (told["tracks_mail"], told["verify_addresses"]) == (False, True)
    cleared = api("PATCH", "/organization", {"quiet_from": None, "quiet_until": None, "sender_email": None}).json()
    assert (cleared["quiet_from"], cleared["sender_email"]) == (None, None)
    for bad in (
        {"currency": "EUR"},
        {"time_zone": "Rome"},
        {"name": None},
        {"name": "a\nb"},
        {"sender_email": "nobody"},
        {"quiet_from": "21:00"},
        {"quiet_from": "21:00Z", "quiet_until": "08:00Z"},
        {"quiet_from": "21:00", "quiet_until": None},
    ):
        assert api("PATCH", "/organization", bad).status_code == 422, bad
    null = {"field": "name", "message": "must not be null; leave it out to keep it"}
    assert api("PATCH", "/organization", {"name": None}).json()["errors"] == [null]
    assert api.get("/organization") == cleared


def test_an_edit_needs_the_etag_that_was_read(api: Api) -> None:
    tag = api("GET", "/organization").headers["etag"]
    changed = api("PATCH", "/organization", {"name": "New"}, If_Match=tag)
    assert (changed.status_code, changed.json()["name"]) == (200, "New")
    assert api("PATCH", "/organization", {"name": "Newer"}, If_Match=tag).status_code == 412
    assert api("GET", "/organization").headers["etag"] == changed.headers["etag"] != tag
    for path, body in (
        ("/segments", {"name": "X", "kind": "static"}),
        ("/campaigns", {"name": "X", "subject": "X", "body": "X"}),
        ("/coupons", {"type": "fixed", "value": 1}),
    ):
        made = api("POST", path, body)
        place = made.headers["location"].removeprefix("/v1")
        assert made.headers["etag"] == api("GET", place).headers["etag"]


def test_keys_come_in_pages(api: Api) -> None:
    every = [each["key_id"] for each in api.get("/keys")["items"]]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(f"/keys?limit=2&cursor={cursor}" if cursor else "/keys?limit=2")
        assert len(page["items"]) == 2
        found += [each["key_id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert found == every


def test_a_key_shows_its_secret_once_and_can_be_revoked(api: Api) -> None:
    made = api("POST", "/keys", {"role": "viewer", "name": "Dashboard"}, Idempotency_Key="k")
    assert made.status_code == 201
    key = made.json()
    api.keys["demo", "new"] = key["secret"]
    assert api("GET", "/customers", role="new").status_code == 200
    again = api("POST", "/keys", {"role": "viewer", "name": "Dashboard"}, Idempotency_Key="k")
    assert (again.status_code, key["key_id"] in again.json()["detail"]) == (409, True)
    listed = api.get("/keys")["items"]
    assert [each["name"] for each in listed].count("Dashboard") == 1
    assert "secret" not in listed[0]
    assert key["secret"].rpartition(".")[2] not in json.dumps(api.get("/audit-log"))
    assert api("DELETE", f"/keys/{key['key_id']}").status_code == 204
    assert api("DELETE", f"/keys/{key['key_id']}").status_code == 204
    assert api("DELETE", "/keys/nothing").status_code == 404
    revoked = next(each for each in api.get("/keys")["items"] if each["key_id"] == key["key_id"])
    assert revoked["revoked_at"]
    assert api("POST", "/keys", {"role": "king"}).json()["errors"][0]["field"] == "role"


def test_the_last_owners_key_cannot_be_revoked(api: Api) -> None:
    owners = [each["key_id"] for each in api.get("/keys")["items"] if each["role"] == "owner"]
    mine = api.keys["demo", "owner"].split(".")[2]
    others = [key_id for key_id in owners if key_id != mine]
    assert [api("DELETE", f"/keys/{key_id}").status_code for key_id in others] == [204] * len(others)
    refused = api("DELETE", f"/keys/{mine}")
    assert (refused.status_code, "another owner" in refused.json()["detail"]) == (409, True)


def test_commands_make_organizations_and_keys(regulars: Callable[..., str], database: str) -> None:
    keys = json.loads(
        regulars(
            "organization", "create", "corner", "--name", "Corner", "--currency", "EUR", "--time-zone", "Europe/Rome"
        )
    )
    assert sorted(keys) == ["owner", "terminal"]
    made = json.loads(regulars("keys", "create", "--organization", "corner", "--role", "marketer", "--name", "Mia"))
    assert made["role"] == "marketer"
    listed = [json.loads(line) for line in regulars("keys", "list", "--organization", "corner").splitlines()]
    assert sorted(each["role"] for each in listed) == ["marketer", "owner", "terminal"]
    assert "revoked" in regulars("keys", "revoke", made["key_id"], "--organization", "corner")
    keyring = Keyring(database)
    assert keyring.authenticate(made["secret"]) is None
    assert keyring.authenticate(keys["owner"]) is not None
    keyring.close()
    with pytest.raises(NotFoundError):
        regulars("keys", "create", "--organization", "nowhere", "--role", "viewer")
    with pytest.raises(InvalidError):
        regulars("keys", "create", "--organization", "corner", "--role", "king")


def test_the_overview_counts_customers_by_their_last_visit_and_regulars_among_buyers(api: Api) -> None:
    empty = api.get("/overview")
    assert (empty["number"], empty["spent"], empty["repeat_rate"]) == (0, 0, None)
    now = utc_now()
    for name, days, visits in (("new", 0, 1), ("active", 29, 2), ("cooling", 31, 3), ("asleep", 91, 4)):
        stats = {"total_spent": 100 * visits, "visit_count": visits, "last_visit_at": now - timedelta(days=days)}
        api.add_customer(name, marketing_consent=name == "new", **stats)
    api.add_customer("bare")
    api.add_customer("elsewhere", organization="other", total_spent=7, visit_count=1)
    assert api.get("/overview") == {
        "number": 5, "buyers": 4, "regulars": 3, "spent": 1000, "consented": 1,
        "active": 2, "cooling": 1, "asleep": 1, "repeat_rate": 0.75,
    }  # fmt: skip


def test_users_are_made_listed_and_removed_by_command_with_a_password_shown_once(
    database: str, regulars: Callable[..., str]
) -> None:
    organizations.create(database, "corner", "Corner", "EUR", "Europe/Rome", ready_made=False)
    made = json.loads(regulars("users", "create", "Asha@Example.com", "--role", "owner", "--organization", "corner"))
    assert (made["email"], made["role"], len(made["password"])) == ("asha@example.com", "owner", 16)
    (shown,) = regulars("users", "list", "--organization", "corner").splitlines()
    assert json.loads(shown)["email"] == "asha@example.com"
    assert made["password"] not in shown
    with pytest.raises(ConflictError, match="is a user already"):
        regulars("users", "create", "asha@example.com", "--role", "viewer", "--organization", "corner")
    with pytest.raises(InvalidError, match="role"):
        regulars("users", "create", "b@example.com", "--role", "boss", "--organization", "corner")
    regulars("users", "remove", "ASHA@example.com", "--organization", "corner")
    assert regulars("users", "list", "--organization", "corner") == ""
    with pytest.raises(NotFoundError, match="no user"):
        regulars("users", "remove", "asha@example.com", "--organization", "corner")

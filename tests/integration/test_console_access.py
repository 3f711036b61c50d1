"""Who may see and change what at the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import select, update

from services.admin import users
from services.admin.console.sessions import IDLE
from shared.database.tables import audit_log, console_session, console_user
from tests import console
from tests.admin import Api
from tests.console import PASSWORD, Visit


def sign_in(api: Api, email: str, password: str, **more: str) -> Any:
    given = {"organization_id": "demo", "email": email, "password": password, "next": ""} | more
    return api.client.post("/console/sign-in", data=given)


def test_nobody_sees_a_page_without_signing_in_and_then_sees_the_one_they_wanted(api: Api) -> None:
    email = console.add_user(api)
    answer = api.client.get("/console/activity?cursor=x")
    assert answer.headers["location"] == "/console/sign-in?next=%2Fconsole%2Factivity%3Fcursor%3Dx"
    assert sign_in(api, email, PASSWORD, next="/console/activity").headers["location"] == "/console/activity"
    api.client.cookies.clear()
    for elsewhere in ("https://evil.example/", "//evil.example", "/console//evil.example", "/console/\\evil.example"):
        assert sign_in(api, email, PASSWORD, next=elsewhere).headers["location"] == "/console"


def test_five_wrong_passwords_lock_a_user_and_the_right_one_ends_the_count(api: Api) -> None:
    email = console.add_user(api)
    for _ in range(4):
        assert "has this address and password" in sign_in(api, email, "wrong").text
    assert sign_in(api, email, PASSWORD).status_code == 303
    for _ in range(5):
        sign_in(api, email, "wrong")
    locked = sign_in(api, email, PASSWORD)
    assert locked.status_code == 403
    assert "Try again in 1 min" in locked.text
    assert "set-cookie" not in locked.headers
    with api.engine.begin() as connection:
        connection.execute(update(console_user).values(locked_until=console_user.c.locked_until - timedelta(minutes=1)))
    assert sign_in(api, email, PASSWORD).status_code == 303


def test_a_user_of_another_organization_is_nobody_here(api: Api, visit: Visit) -> None:
    email = console.add_user(api, organization="other")
    assert sign_in(api, email, PASSWORD).status_code == 403
    client = visit(email, "other")
    api.add_customer("c-secret", name="Somebody of demo")
    assert "Somebody of demo" not in client.get("/console").text
    assert "owner@other.example" in client.get("/console/settings").text


def test_a_form_of_another_site_or_without_its_token_changes_nothing(api: Api, visit: Visit) -> None:
    client = visit(console.add_user(api))
    token = console.form_token(client)
    body = {"email": "new@example.com", "role": "viewer", "name": ""}
    assert client.post("/console/settings/users", data=body).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/console/settings/users", data=body | {"form_token": token}, headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.text
    assert "new@example.com" not in client.get("/console/settings").text
    made = client.post("/console/settings/users", data=body | {"form_token": token})
    assert made.status_code == 200
    assert "password of new@example.com" in made.text


def test_a_role_reaches_as_far_as_at_the_api(api: Api, visit: Visit) -> None:
    client = visit(console.add_user(api, "marketer"))
    token = console.form_token(client)
    for path in ("/organization", "/keys", "/users", "/users/a/remove", "/keys/a/revoke"):
        answer = client.post(f"/console/settings{path}", data={"form_token": token})
        assert answer.status_code == 403
        assert "Only a user of role owner" in answer.text
    assert "API keys" not in client.get("/console/settings").text
    assert client.get("/console/activity").status_code == 403
    assert "/console/activity" not in client.get("/console").text


def test_a_session_ends_by_signing_out_by_idleness_and_with_its_user(api: Api, visit: Visit) -> None:
    email = console.add_user(api)
    client = visit(email)
    cookie = {"Cookie": f"regulars_session={client.cookies['regulars_session']}"}
    client.post("/console/sign-out", data={"form_token": console.form_token(client)})
    assert api.client.get("/console", headers=cookie).status_code == 303
    client = visit(email)
    with api.engine.begin() as connection:
        connection.execute(update(console_session).values(seen_at=console_session.c.seen_at - IDLE))
    assert client.get("/console").status_code == 303
    owner = visit(email)
    other = visit(console.add_user(api, "viewer"))
    owner.post("/console/settings/users/viewer@demo.example/remove", data={"form_token": console.form_token(owner)})
    assert other.get("/console").status_code == 303


def test_changing_ones_password_wants_the_old_one_and_ends_all_sessions(api: Api, visit: Visit) -> None:
    email = console.add_user(api)
    client = visit(email)
    given = {
        "form_token": console.form_token(client),
        "old_password": "wrong",
        "new_password": "a longer one than that",
    }
    assert "is not your present password" in client.post("/console/settings/password", data=given).text
    short = given | {"old_password": PASSWORD, "new_password": "short"}
    assert "must have 12 to 256 characters" in client.post("/console/settings/password", data=short).text
    assert client.post("/console/settings/password", data=given | {"old_password": PASSWORD}).status_code == 303
    assert client.get("/console").status_code == 303
    assert sign_in(api, email, "a longer one than that").status_code == 303


def test_neither_passwords_nor_sessions_can_be_read_from_the_database(api: Api, visit: Visit) -> None:
    client = visit(console.add_user(api))
    token = client.cookies["regulars_session"].strip('"').partition(".")[2]
    with api.engine.connect() as connection:
        (hashed,) = connection.execute(select(console_user.c.password_hash)).scalars()
        (stored,) = connection.execute(select(console_session.c.token_hash)).scalars()
        actors = set(connection.execute(select(audit_log.c.actor)).scalars())
    assert hashed.startswith("$argon2id$")
    assert token.encode() not in stored
    assert "command line" in actors


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_an_owner_finds_their_way_in_a_browser_and_on_a_phone(api: Api) -> None:
    email = console.add_user(api)
    api.add_customer("c-1", total_spent=12_500, visit_count=2, marketing_consent=True)
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email)
        assert page.get_by_role("heading", level=1).inner_text() == "Overview"
        assert "₹125.00" in page.locator("main").inner_text()
        page.get_by_role("link", name="Settings").click()
        page.get_by_label("Sender's name").fill("Asha & Sons")
        page.get_by_label("Cost of 1,000 mails").fill("0.905")
        page.get_by_role("button", name="Save").click()
        assert "must be an amount such as 12.50" in page.locator("main").inner_text()
        assert page.get_by_label("Cost of 1,000 mails").input_value() == "0.905"
        page.get_by_label("Cost of 1,000 mails").fill("0.90")
        page.get_by_label("Gross margin").fill("42.5")
        page.get_by_role("button", name="Save").click()
        assert page.get_by_role("status").inner_text() == "Saved."
        assert page.get_by_label("Cost of 1,000 mails").input_value() == "0.90"
        assert page.get_by_label("Gross margin").input_value() == "42.5"
        assert page.get_by_label("Sender's name").input_value() == "Asha & Sons"
        page.get_by_role("link", name="Activity").click()
        assert "organization changed" in page.locator("main").inner_text()
        phone = console.signed_in(chromium, api, email, width=390)
        for path in ("", "/activity", "/settings"):
            phone.goto(f"/console{path}")
            expect(phone.locator("nav [aria-current]")).to_be_in_viewport(ratio=1)
            assert phone.evaluate("document.documentElement.scrollWidth") == 390, path


def test_a_storm_of_sign_ins_is_put_off_and_leaves_no_trace(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    email = console.add_user(api)
    monkeypatch.setattr(users, "LONGEST_WAIT", 0)
    with users._CHECKS, users._CHECKS:
        answer = sign_in(api, email, PASSWORD)
    assert answer.status_code == 503
    assert "Try again" in answer.text
    assert sign_in(api, email, PASSWORD).status_code == 303


def test_what_goes_wrong_at_the_console_is_told_by_a_page_without_the_inside(
    api: Api, visit: Visit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = visit(console.add_user(api, "marketer"))

    def broken(*_: Any) -> None:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr("services.admin.overview.customers", broken)
    answer = client.get("/console", headers={"X-Request-Id": "r-17"})
    assert answer.status_code == 500
    assert "tells more: r-17" in answer.text
    assert ">Customers</a>" in answer.text
    assert "secret of the inside" not in answer.text
    assert "secret of the inside" in "".join(capsys.readouterr())
    part = client.get("/console", headers={"HX-Request": "true"})
    assert (part.status_code, "<html" in part.text) == (500, False)
    huge = b"form_token=x&name=" + b"x" * 1_100_000
    sent = {"Content-Type": "application/x-www-form-urlencoded"}
    for path, method, body, status, told in [
        ("/console/nothing/here", "GET", b"", 404, "There is no such page."),
        ("/console/static/x/none.css", "GET", b"", 404, "There is no such file."),
        ("/console/sign-out", "GET", b"", 405, "only takes forms"),
        ("/console/new-customer", "POST", huge, 413, "more than can be sent at once"),
        ("/console/customers?search=%00x&cursor=y", "GET", b"", 422, "Something in it must be changed"),
        ("/console/customers?search=%ED%A0%80", "GET", b"", 200, "Nobody found"),
    ]:
        answer = client.request(method, path, content=body, headers=sent)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert told in answer.text, path
    assert api.client.get("/consoles").headers["content-type"] == "application/problem+json"

"""The console for tests: users of each role, a browser that is signed in, and pages fetched without one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from services.admin import audit, users
from services.admin.users import ConsoleRole, NewUser
from tests.admin import Api
from tests.stack import TRUSTS_NOBODY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PASSWORD = "correct horse battery"
CAMPAIGN_FORM = {  # what the editor sends for a one-off with nothing else chosen
    "name": "Summer",
    "type": "promotional",
    "subject": "Hello {first_name|there}",
    "preview_text": "",
    "body": "# Come by",
    "body_format": "markdown",
    "coupon_code": "",
    "trigger.on": "",
    "holdout_percent": "0",
    "expires_after_hours": "72",
    "priority": "",
    "respect_contact_time": "yes",
}


def add_user(api: Api, role: ConsoleRole = "owner", organization: str = "demo") -> str:
    """The address of a new user, whose password is PASSWORD."""
    wanted = NewUser(email=f"{role}@{organization}.example", role=role, name=role.title())
    with api.engine.begin() as connection:
        users.create(connection, organization, wanted, audit.COMMAND_LINE, PASSWORD)
    return wanted.email


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def signed_in(running: Browser, api: Api, email: str, width: int = 1280) -> Page:
    """The overview, as that user sees it. What a script or a style is refused fails the test."""
    page = running.new_context(base_url=str(api.client.base_url), viewport={"width": width, "height": 900}).new_page()
    page.on("pageerror", _fail)
    page.on("console", lambda message: _fail(message.text) if "Content Security" in message.text else None)
    page.goto("/console/sign-in")
    page.get_by_label("Organization").fill("demo")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    return page


Visit = Callable[..., httpx.Client]


@contextmanager
def visits(api: Api) -> Iterator[Visit]:
    """Makes clients with a session's cookie: `visit(email, organization="demo")`."""
    with ExitStack() as clients:

        def visit(email: str, organization: str = "demo") -> httpx.Client:
            client = clients.enter_context(httpx.Client(base_url=api.client.base_url, timeout=30, verify=TRUSTS_NOBODY))
            given = {"organization_id": organization, "email": email, "password": PASSWORD, "next": ""}
            answer = client.post("/console/sign-in", data=given)
            assert answer.status_code == 303, answer.text
            return client

        yield visit


def form_token(client: httpx.Client) -> str:
    text = client.get("/console/settings").text
    return text.partition('name="form_token" value="')[2].partition('"')[0]


class Marketer:
    """Sends forms as a browser does."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.token = form_token(client)

    def post(self, path: str, **form: Any) -> httpx.Response:
        return self.client.post(f"/console{path}", data=form | {"form_token": self.token})

    def get(self, path: str) -> str:
        return self.client.get(f"/console{path}").text


class _Form(HTMLParser):
    """What a browser would send of a form of a page."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.fields: list[tuple[str, str]] = []
        self._is_inside = False
        self._named = ""
        self._text: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self._is_inside = given.get("id") == self.form_id
        elif self._is_inside and tag == "input" and name:
            if given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                self.fields.append((name, value))
        elif self._is_inside and tag == "select":
            self._named = name
        elif self._is_inside and tag == "option" and "selected" in given:
            self.fields.append((self._named, value))
        elif self._is_inside and tag == "textarea":
            self._named, self._text = name, ""

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text is not None:
            self.fields.append((self._named, self._text.removeprefix("\n").replace("\n", "\r\n")))
            self._text = None
        if tag == "form":
            self._is_inside = False


def fields_of(page: str, form_id: str) -> dict[str, Any]:
    """What a browser would send of that form, untouched: texts, and lists where a name comes more than once."""
    form = _Form(form_id)
    form.feed(page)
    sent: dict[str, Any] = {}
    for name, value in form.fields:
        sent[name] = [*sent[name], value] if isinstance(sent.get(name), list) else [value]
    return {name: values[0] if len(values) == 1 else values for name, values in sent.items()}


def error_at(page: str, field: str) -> str:
    """What a page says is wrong with a field; fails where it says nothing."""
    found = re.search(rf'<p class="error" id="h-{re.escape(field)}">(.*?)</p>', page)
    assert found, f"nothing at {field}"
    return unescape(found[1])


def _fail(why: Any) -> None:
    raise AssertionError(str(why))

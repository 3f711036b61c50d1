"""The console for tests: users of each role, a browser that is signed in, and pages fetched without one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from services.admin import audit, users
from services.admin.users import ConsoleRole, NewUser
from tests.admin import Api
from tests.stack import TRUSTS_NOBODY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PASSWORD = "correct horse battery"


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


def _fail(why: Any) -> None:
    raise AssertionError(str(why))

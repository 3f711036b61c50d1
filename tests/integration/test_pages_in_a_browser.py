"""The pages behind the links of mails, on a phone's screen in a real browser; skipped where none is installed."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy import insert

from shared.database.tables import customer, direct_mail
from shared.domain.links import sign_link
from shared.kafka import Topic
from tests.ingest import NOW, Service
from tests.integration.test_ingest_mail import MESSAGE, plan, suppressed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture
def ingest(ingest: Service) -> Service:
    plan(ingest)
    own = {"organization_id": "demo", "customer_id": "c-1", "email": "asha@example.com"}
    with ingest.engine.begin() as connection:
        consent = {"marketing_consent": True, "consent_at": NOW.replace(year=2025)}
        connection.execute(insert(customer).values(**own, **consent))
        connection.execute(insert(direct_mail).values(**own, mail_id=uuid.UUID(MESSAGE), kind="verification"))
    return ingest


@pytest.fixture
def phone() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True).new_page()
        yield page
        browser.close()


def address(service: Service, place: str, purpose: Any) -> str:
    token = sign_link(service.settings.secret.get_secret_value(), purpose, "demo", MESSAGE)
    return str(service.client.base_url.join(f"/{place}/{token}"))


def test_a_customer_chooses_leaves_and_confirms_with_a_thumb(ingest: Service, phone: Page) -> None:
    phone.goto(address(ingest, "p", "preferences"))
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    expect(phone.get_by_label("Yes, Asha's Bakery may send me offers")).to_be_checked()
    phone.get_by_text("Up to once a month").tap()
    phone.get_by_text("In the evening").tap()
    phone.get_by_role("button", name="Save").tap()
    expect(phone.get_by_role("status")).to_have_text("Saved.")
    expect(phone.get_by_label("Up to once a month")).to_be_checked()
    (event,) = ingest.told(Topic.CUSTOMERS)
    assert (event["data"]["email_frequency"], event["data"]["preferred_contact_time"]) == ("monthly", "evening")
    phone.get_by_text("No, Asha's Bakery may not").tap()
    phone.get_by_role("button", name="Save").tap()
    expect(phone.get_by_text("will send you no marketing mail")).to_be_visible()
    assert suppressed(ingest) == {"asha@example.com": "unsubscribe"}
    phone.goto(address(ingest, "v", "verify"))
    expect(phone.get_by_text("asha@example.com")).to_be_visible()
    phone.get_by_role("button", name="Yes, confirm").tap()
    expect(phone.get_by_role("status")).to_have_text("Thank you.")
    assert ingest.told(Topic.CUSTOMERS)[-1]["id"].startswith(MESSAGE)
    phone.goto(address(ingest, "u", "unsubscribe"))
    phone.get_by_role("button", name="Unsubscribe").tap()
    expect(phone.get_by_text("You are unsubscribed.")).to_be_visible()

"""The pages of analytics as people see them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.clock import utc_now
from shared.database.tables import ledger
from tests import console
from tests.admin import Api


@pytest.mark.skipif(console.CHROMIUM is None, reason="no Chromium on this machine")
def test_a_marketer_chooses_days_sees_them_drawn_and_finds_all_pages_on_a_phone_too(api: Api) -> None:
    email, now = console.add_user(api, "marketer"), utc_now()
    for n, days in enumerate((1, 2, 40)):
        own = {"organization_id": "demo", "source": "/t", "event_id": f"e{n}", "type": "sale.completed"}
        at = now - timedelta(days=days)
        api.insert(ledger, **own, occurred_at=at, sale_id=f"s{n}", entry="sale", store_id=f"s{n}", amount=12_500)
    for n in range(60):
        first = now - timedelta(days=100 + n)
        stats = {"visit_count": 2 + n % 5, "total_spent": 9_900 * (2 + n % 5), "first_visit_at": first}
        api.add_customer(f"c-{n}", last_visit_at=now - timedelta(days=n), **stats)
    with console.browser() as chromium:
        page = console.signed_in(chromium, api, email)
        page.get_by_role("link", name="Analytics").click()
        page.get_by_role("heading", name="By store").wait_for()
        assert "₹250.00" in page.locator("main").inner_text()
        assert page.locator(".chart canvas").count() == 1
        page.get_by_role("link", name="90 days").click()
        page.get_by_role("heading", name="By store").wait_for()
        assert "₹375.00" in page.locator("main").inner_text()
        assert page.get_by_role("link", name="90 days").get_attribute("aria-current") == "true"
        page.get_by_text("As a table").click()
        assert page.locator("figure details tbody tr").count() == 90
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").first.click()
        assert len(download.value.path().read_text().splitlines()) == 91
        day = (now - timedelta(days=300)).date().isoformat()
        page.get_by_label("From").fill(day)
        page.get_by_label("Until").fill(day)
        page.get_by_role("button", name="Show").click()
        page.get_by_role("heading", name="Nothing was sold").wait_for()
        page.get_by_role("link", name="Customers", exact=True).last.click()
        assert "Next 12 months, about" in page.get_by_role("region", name="Engagement").inner_text()
        assert "₹" in page.get_by_role("row", name="cooling").inner_text()
        page.goto("/console/customers/c-1")
        assert "Next 12 months, about" in page.locator(".figures").inner_text()
        phone = console.signed_in(chromium, api, email, width=390)
        for path in ("", "/campaigns", "/coupons", "/customers"):
            phone.goto(f"/console/analytics{path}")
            phone.wait_for_load_state("networkidle")
            assert phone.evaluate("document.documentElement.scrollWidth") == 390, path
        phone.goto("/console/analytics")
        phone.get_by_role("heading", name="By store").wait_for()
        assert phone.evaluate("document.documentElement.scrollWidth") == 390

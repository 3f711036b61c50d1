"""The shop's mail: automations switched on and one campaign to its VIPs, by the admin API as a marketer would."""

from __future__ import annotations

import time
from typing import Any, Self

import httpx
from sqlalchemy import Engine

from services.installation import Installation
from services.local.demo import figures, readers
from services.local.demo.organization import ORGANIZATION_ID
from shared.clock import utc_now
from shared.errors import RegularsError

AUTOMATIONS = ("birthday", "welcome", "we-miss-you")
VIPS = "vip-customers"
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.25
VIP_THANKS = {
    "name": "Thanks to our VIPs",
    "type": "promotional",
    "subject": "{first_name|Dear customer}, thank you for {visit_count} visits",
    "preview_text": "You are one of the people who keep us going.",
    "body": (
        "# Thank you, {first_name|dear customer}!\n\n"
        "You came to see us **{visit_count} times** this year: few came more often. This is for your next visit:\n\n"
        "**{coupon_code}**\n\nShow it at the till, until {coupon_expiry}. It takes **{discount_value}** off.\n\n"
        "[What is fresh this week](https://example.com/fresh)\n\n"
        "[Recipes for the season](https://example.com/recipes)\n\n"
        "Warmly,\\\n{organization_name}\n"
    ),
    "body_format": "markdown",
    "coupon_code": "VIP500",
    "grant_days": 30,
    "audience": {"include_segments": [VIPS]},
    "respect_contact_time": False,  # so that one sees it now
    # All of the audience tries them: there is nobody left who would wait for the winner.
    "ab_test": {
        "subjects": [
            "{first_name|Dear customer}, thank you for {visit_count} visits",
            "{discount_value} off, as a thank-you from {organization_name}",
        ],
        "test_percent": 100,
        "winner_by": "opens",
        "winner_after_hours": 1,
    },
}


class Marketer:
    """Talks to the admin API with the owner's key. Raises RegularsError with the API's own words."""

    def __init__(self, installation: Installation) -> None:
        self._client = httpx.Client(
            base_url=f"{installation.endpoints['admin']}/v1",
            headers={"Authorization": f"Bearer {installation.keys['owner']}"},
            timeout=PATIENCE_SECONDS,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def listed(self, path: str) -> list[dict[str, Any]]:
        """The items of a list that fits one page."""
        items: list[dict[str, Any]] = self._ask("GET", path, params={"limit": 500})["items"]
        return items

    def start_campaigns(self) -> None:
        """Activate the automations and send the thanks; what was done by an earlier demo stays done."""
        campaigns = {one["id"]: one for one in self.listed("/campaigns")}
        for name in AUTOMATIONS:
            if name in campaigns and campaigns[name]["state"] in {"draft", "paused"}:
                self._ask("POST", f"/campaigns/{name}/activate")
        members = {one["id"]: one["member_count"] for one in self.listed("/segments")}
        thanked = any(one["name"] == VIP_THANKS["name"] for one in campaigns.values())
        if not thanked and members.get(VIPS):
            created = self._ask("POST", "/campaigns", json=VIP_THANKS)
            self._ask("POST", f"/campaigns/{created['id']}/send", json={"at": None})

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise RegularsError(f"The admin API does not answer ({error}); logs/admin.log tells why.") from error
        if answer.is_error:
            raise RegularsError(f"The admin API refuses {method} {path}: {answer.text}")
        content: dict[str, Any] = answer.json() if answer.content else {}
        return content


def wait_until_out(store: Engine, deadline: float) -> bool:
    """Return when no mail is due; False when that takes longer than `deadline` seconds.

    Who has had a mail today, or prefers another hour, gets theirs later: that is not waited for.
    """
    end = time.monotonic() + deadline
    while figures.unplanned(store, ORGANIZATION_ID) or figures.mails_due(store, ORGANIZATION_ID, utc_now()):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_until_read(found: Installation, store: Engine, deadline: float) -> bool:
    """Return when the readers are through with what is in the inbox, and ingest with what they did; False when that
    takes longer than `deadline` seconds.
    """
    end = time.monotonic() + deadline
    while readers.unread(found) or figures.unsettled(store, ORGANIZATION_ID):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True

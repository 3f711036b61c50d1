"""The admin API for tests: two organizations, a key of each role, and rows as the segmenter would leave them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine, insert

from services.admin import organizations
from services.admin.app import create_app
from shared.database.engine import engine
from shared.database.tables import campaign, customer, message, segment
from shared.kafka import create_topics
from shared.keys import Role, create_key
from shared.settings import AdminSettings
from tests.serving import serving

ROLES: tuple[Role, ...] = ("terminal", "viewer", "marketer", "owner")


@dataclass
class Api:
    """Calls as the owner of `demo` unless told otherwise."""

    settings: AdminSettings
    app: FastAPI
    client: httpx.Client
    engine: Engine
    keys: dict[tuple[str, str], str] = field(default_factory=dict)

    def __call__(
        self, method: str, path: str, body: Any = None, role: str = "owner", organization: str = "demo", **headers: str
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.keys[organization, role]
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.client.request(method, f"/v1{path}", headers={"authorization": f"Bearer {token}"} | given, **sent)

    def get(self, path: str, **more: str) -> Any:
        answer = self("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add_customer(self, customer_id: str, organization: str = "demo", **columns: Any) -> None:
        self.insert(customer, organization_id=organization, customer_id=customer_id, **columns)

    def add_reachable(self, customer_id: str, **columns: Any) -> None:
        """Somebody whom no gate keeps a mail from."""
        verified = {"email": f"{customer_id}@example.com", "email_verified": True, "marketing_consent": True}
        self.add_customer(customer_id, **verified | columns)

    def add_segment(self, segment_id: str, slot: int, organization: str = "demo", **columns: Any) -> None:
        given = {"name": segment_id, "kind": "static", "state": "live", "progress": 1} | columns
        self.insert(segment, organization_id=organization, segment_id=segment_id, slot=slot, **given)

    def add_message(self, campaign_id: str, customer_id: str, organization: str = "demo", **columns: Any) -> None:
        given = {"occasion": "send", "state": "planned"} | columns
        self.insert(message, organization_id=organization, campaign_id=campaign_id, customer_id=customer_id, **given)

    def add_campaign(self, campaign_id: str, organization: str = "demo", **columns: Any) -> None:
        given = {"name": campaign_id, "type": "promotional", "subject": "Hello", "body": "Hello"} | columns
        self.insert(campaign, organization_id=organization, campaign_id=campaign_id, **given)

    def insert(self, table: Any, **columns: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(table).values(columns))


@contextmanager
def running(settings: AdminSettings) -> Iterator[Api]:
    """The API with the organizations `demo` (INR, Kolkata) and `other`."""
    create_topics(settings)
    store = engine(settings.database)
    app = create_app(settings)
    try:
        with serving(app) as client:
            api = Api(settings, app, client, store)
            for organization in ("demo", "other"):
                organizations.create(settings.database, organization, organization.title(), "INR", "Asia/Kolkata")
            with store.begin() as connection:
                for organization in ("demo", "other"):
                    for role in ROLES:
                        api.keys[organization, role] = create_key(connection, organization, role)[1]
            yield api
    finally:
        store.dispose()

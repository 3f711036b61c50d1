"""The sandbox in this process, without a socket: requests go straight to the application."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from services.local.sandbox.app import create_app
from services.local.sandbox.reports import Fate, delivered

SECRET = "whsec_cmVndWxhcnMtc2FuZGJveA=="
ANN = {"from": "Bakery <hello@bakery.example>", "to": ["ann@example.com"], "subject": "Bread", "html": "<p>Fresh</p>"}


class Sandbox:
    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient, received: list[httpx.Request]) -> None:
        self._runner = runner
        self._client = client
        self.received = received
        self.receiver_answers = 204
        self.now = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)

    def pass_time(self, **by: float) -> None:
        self.now += timedelta(**by)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return self._runner.run(self._client.request(method, path, content=content, headers=headers))

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def send(self, mail: Any, key: str | None = None, path: str = "/emails", **headers: str) -> httpx.Response:
        given = {"authorization": "Bearer re_any", **headers}
        return self.request("POST", path, mail, given | ({"idempotency-key": key} if key is not None else {}))

    def send_batch(self, mails: Any, key: str | None = None, **headers: str) -> httpx.Response:
        return self.send(mails, key, "/emails/batch", **headers)

    def together(self, *mails: Any, key: str) -> list[httpx.Response]:
        """All in flight at once."""
        headers = {"authorization": "Bearer re_any", "idempotency-key": key}

        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.post("/emails", json=mail, headers=headers) for mail in mails))

        return self._runner.run(all_of_them())

    def eventually(self, condition: Callable[[], bool], deadline: float = 20.0) -> None:
        """Lets the background work until the condition holds."""
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, f"not within {deadline} s"
            self._runner.run(asyncio.sleep(0.005))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.get("/messages?limit=1000").json()["items"]


@contextmanager
def sandbox(
    data_dir: Path, requests_per_second: int = 1_000, *, auto_deliver: bool = False, fate: Fate = delivered
) -> Iterator[Sandbox]:
    def receive(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(driver.receiver_answers, text="noted")

    received: list[httpx.Request] = []
    with asyncio.Runner() as runner:
        app = create_app(
            data_dir,
            "http://ingest.test/webhooks/resend",
            SECRET,
            auto_deliver=auto_deliver,
            fate=fate,
            requests_per_second=requests_per_second,
            clock=lambda: driver.now,
            webhook_transport=httpx.MockTransport(receive),
        )
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox.test")
        driver = Sandbox(runner, client, received)
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        try:
            yield driver
        finally:
            runner.run(client.aclose())
            runner.run(lifespan.__aexit__(None, None, None))

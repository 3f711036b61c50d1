"""The sandbox put together: which path goes where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.local.sandbox.answer import JsonAnswer, RefusedError, on_http_error, on_refusal
from services.local.sandbox.emails import Emails
from services.local.sandbox.faults import Faults
from services.local.sandbox.inbox import Inbox
from services.local.sandbox.limit import RateLimit
from services.local.sandbox.messages import Messages
from services.local.sandbox.origin import SameOriginOnly
from services.local.sandbox.reports import Fate, Reports, delivered
from services.local.sandbox.store import Filter, Store
from services.local.sandbox.webhook import Webhook
from shared.clock import Clock, utc_now


def create_app(
    data_dir: Path,
    webhook_url: str,
    webhook_secret: str,
    *,
    auto_deliver: bool = False,
    fate: Fate = delivered,
    requests_per_second: int = 1_000,
    clock: Clock = utc_now,
    webhook_transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """The application; it closes its store when its lifespan ends.

    `auto_deliver` reports every accepted mail as delivered, or as what `fate` says of it. Raises SetupError where the
    data directory or the secret is of no use.
    """
    webhook = Webhook(webhook_url, webhook_secret, webhook_transport)
    store = Store(data_dir)
    faults = Faults()
    emails = Emails(store, faults, RateLimit(requests_per_second), clock)
    messages = Messages(store, webhook, clock)
    inbox = Inbox(store, faults)
    reports = Reports(store, webhook, emails.arrived, clock, fate)

    async def alive(_: Request) -> Response:
        return JsonAnswer({"status": "ok"})

    async def ready(_: Request) -> Response:
        await store.page(Filter(), limit=1)
        return JsonAnswer({"status": "ready"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        reporting = asyncio.create_task(reports.run() if auto_deliver else store.end_reporting())
        try:
            yield
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
            await webhook.close()
            store.close()

    return Starlette(
        routes=[
            Route("/emails", emails.one, methods=["POST"]),
            Route("/emails/batch", emails.batch, methods=["POST"]),
            Route("/messages", messages.list, methods=["GET"]),
            Route("/messages", messages.empty, methods=["DELETE"]),
            Route("/messages/{id}", messages.one, methods=["GET"]),
            Route("/messages/{id}/events", messages.send_event, methods=["POST"]),
            Route("/messages/{id}/view", inbox.view, methods=["GET"]),
            Route("/faults", faults.show, methods=["GET"]),
            Route("/faults", faults.order, methods=["POST"]),
            Route("/faults", faults.clear, methods=["DELETE"]),
            Route("/healthz", alive, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/", inbox.list, methods=["GET"]),
        ],
        middleware=[Middleware(SameOriginOnly)],
        exception_handlers={RefusedError: on_refusal, HTTPException: on_http_error},
        lifespan=lifespan,
    )

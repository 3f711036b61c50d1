"""The application: every part is made here, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.ingest.currencies import Currencies
from services.ingest.parts import Parts
from services.ingest.publisher import Publisher
from services.ingest.rate_limit import RateLimit
from services.ingest.resend_webhook import check_secret
from services.ingest.routes import events, front, preferences, unsubscribe, webhooks
from shared import web
from shared.clock import Clock, utc_now
from shared.database.engine import engine
from shared.keys import Keyring
from shared.settings import IngestSettings

DESCRIPTION = "What terminals, mail providers and the links in mails talk to."


def create_app(settings: IngestSettings, clock: Clock = utc_now) -> FastAPI:
    """Compose the application. Nothing connects before it starts, and it starts without Kafka and database.

    Raises SetupError.
    """
    check_secret(settings.webhook_secret.get_secret_value())
    database = engine(settings.database, pool_size=4, max_overflow=4, pool_timeout=5)
    parts = Parts(
        settings,
        clock,
        database,
        Keyring(settings.database),
        Publisher(settings),
        Currencies(database),
        RateLimit(settings.rate_limit),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.publisher.start()
        yield
        await asyncio.to_thread(parts.publisher.stop)
        parts.keyring.close()
        database.dispose()

    app = FastAPI(title="Regulars ingest", version="1", description=DESCRIPTION, lifespan=lifespan, redoc_url=None)
    app.state.parts = parts
    web.install(app, parts.publisher.why_not_ready, settings.max_body_bytes)
    for module in (events, webhooks, unsubscribe, preferences, front):
        app.include_router(module.router)
    return app

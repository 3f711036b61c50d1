"""The application: every part is made here, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from services.ingest.currencies import Currencies
from services.ingest.news import News
from services.ingest.parts import Parts
from services.ingest.publisher import Publisher
from services.ingest.rate_limit import RateLimit
from services.ingest.resend_webhook import check_secret
from services.ingest.routes import (
    bounces,
    coupons,
    events,
    front,
    preferences,
    tracking,
    unsubscribe,
    verification,
    webhooks,
)
from services.ingest.till.booking import book, quote
from services.ingest.till.desk import Desk
from services.ingest.till.express import Express
from services.ingest.till.redemptions import Redemptions
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
    publisher = Publisher(settings)
    hold_for = timedelta(seconds=settings.hold_seconds)
    parts = Parts(
        settings,
        clock,
        database,
        Keyring(settings.database),
        publisher,
        Currencies(database),
        RateLimit(settings.rate_limit),
        quotes=Desk("quotes", settings.database, lambda at, asked: quote(at, asked, clock())),
        bookings=Desk("bookings", settings.database, lambda at, asked: book(at, asked, clock(), hold_for)),
        redemptions=Redemptions(database, publisher),
        news=News(database, publisher, clock),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.publisher.start()
        parts.quotes.start()
        parts.bookings.start()
        parts.redemptions.start()
        parts.news.start()
        yield
        await parts.news.stop()
        await parts.redemptions.stop()
        await asyncio.to_thread(parts.bookings.stop)
        await asyncio.to_thread(parts.quotes.stop)
        await asyncio.to_thread(parts.publisher.stop)
        parts.keyring.close()
        database.dispose()

    app = FastAPI(title="Regulars ingest", version="1", description=DESCRIPTION, lifespan=lifespan, redoc_url=None)
    app.state.parts = parts
    app.add_middleware(Express, parts=parts)
    web.install(app, parts.publisher.why_not_ready, settings.max_body_bytes)
    for module in (events, coupons, webhooks, bounces, tracking, unsubscribe, preferences, verification, front):
        app.include_router(module.router)
    return app

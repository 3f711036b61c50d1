"""The admin service put together: what `run` serves and what tests call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy import Engine, select
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from services.admin.access import Admin
from services.admin.console import pages
from services.admin.console.pages import HOME
from services.admin.console.routes import ROUTERS as PAGES
from services.admin.console.routes import customer_imports
from services.admin.customer_edits import CustomerEdits
from services.admin.customer_events import CustomerEvents
from services.admin.imports import Imports
from services.admin.routes import ROUTERS
from shared import problems, web
from shared.clock import Clock, utc_now
from shared.database.engine import engine
from shared.errors import UNSTORABLE, InvalidError
from shared.keys import Keyring
from shared.settings import AdminSettings

LARGEST_CAMPAIGN = 32_000_000
DESCRIPTION = """
Customers, segments, campaigns and settings of one organization: that of the API key.

Instants are RFC 3339 in UTC, amounts are integers in minor units. Lists come in pages: give `next_cursor` back as
`cursor`. Errors are problem details (RFC 9457) whose `errors` name the fields.
"""


def create_app(settings: AdminSettings, clock: Clock = utc_now) -> FastAPI:
    """The API. Nothing connects before the first request."""
    store = engine(settings.database, pool_size=10, max_overflow=30)
    keyring = Keyring(settings.database)
    events = CustomerEvents(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        events.close()
        keyring.close()
        store.dispose()

    app = FastAPI(
        title="Regulars admin API",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=problems.described(401, 403, 404, 422, 503),
    )
    app.state.admin = Admin(store, keyring, CustomerEdits(store, events), Imports(store, settings, clock), clock)
    # A mail that is too long is told so by its field, not by the whole request.
    web.install(
        app,
        lambda: why_not_ready(store),
        larger=dict.fromkeys(("/v1/campaigns", f"{HOME}/campaigns"), LARGEST_CAMPAIGN)
        | {f"{HOME}{customer_imports.PLACE}": customer_imports.LARGEST},
    )
    app.add_exception_handler(HTTPException, _by_framework)
    app.add_exception_handler(DataError, _unstorable)
    app.add_exception_handler(UnicodeEncodeError, _unstorable)
    for router in ROUTERS:
        app.include_router(router, prefix="/v1")
    for router in PAGES:
        app.include_router(router)
    app.add_api_route("/", lambda: RedirectResponse(HOME), include_in_schema=False)
    return app


def why_not_ready(store: Engine) -> str | None:
    """None when requests can be answered. Without Kafka everything but changes of customers can."""
    try:
        with store.connect() as connection:
            connection.execute(select(1))
    except SQLAlchemyError as error:
        return f"the database does not answer: {str(error).splitlines()[0]}"
    return None


async def _by_framework(request: Request, error: Exception) -> Response:
    """At the console a page, like all that it answers."""
    if request.url.path == HOME or request.url.path.startswith(f"{HOME}/"):
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this kind only
        return pages.refused(request, error)
    return await problems.by_framework(request, error)


async def _unstorable(_: Request, __: Exception) -> JSONResponse:
    return problems.of(InvalidError(UNSTORABLE)).response()

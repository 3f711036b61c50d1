"""The currency of each organization, at hand without waiting for the database."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from shared.database.tables import organization
from shared.logging import logger

FRESH_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0
log = logger(__name__)


class Currencies:
    """Remembers them, and asks again in the background. For one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, str | None] = {}
        self._stale_at: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def of(self, organization_id: str) -> str | None:
        """The ISO 4217 code; the last known one while the database is away. None if it was never known: the caller
        lets events pass then, and the segmenter judges them.
        """
        if time.monotonic() > self._stale_at.get(organization_id, 0.0) and organization_id not in self._asking:
            task = asyncio.create_task(self._ask(organization_id))
            self._asking[organization_id] = task
            task.add_done_callback(lambda _: self._asking.pop(organization_id))
        first = self._asking.get(organization_id)
        if first is not None and organization_id not in self._known:
            await asyncio.wait([first], timeout=RETRY_SECONDS)
        return self._known.get(organization_id)

    async def _ask(self, organization_id: str) -> None:
        wanted = select(organization.c.currency).where(organization.c.organization_id == organization_id)

        def look_up() -> str | None:
            with self._engine.connect() as connection:
                return connection.execute(wanted).scalar()

        try:
            self._known[organization_id] = await asyncio.to_thread(look_up)
            self._stale_at[organization_id] = time.monotonic() + FRESH_SECONDS
        except SQLAlchemyError as error:
            self._known.setdefault(organization_id, None)  # so that nobody waits for the database again
            self._stale_at[organization_id] = time.monotonic() + RETRY_SECONDS
            log.warning("currency.unknown", error=str(error).partition("\n")[0])

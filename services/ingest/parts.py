"""What the routes of ingest work with, and who may call them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine

from services.ingest.currencies import Currencies
from services.ingest.news import News
from services.ingest.publisher import Publisher
from services.ingest.rate_limit import RateLimit
from services.ingest.till.asked import Answer, Question, Wanted
from services.ingest.till.desk import Desk
from services.ingest.till.redemptions import Redemptions
from shared.clock import Clock
from shared.domain.coupons import Offer, Refused
from shared.errors import ForbiddenError
from shared.keys import Key, Keyring
from shared.problems import unauthorized
from shared.settings import IngestSettings

PUBLISHERS: Final = frozenset({"terminal", "owner"})
bearer = HTTPBearer(
    auto_error=False, description="A terminal's key, as `regulars keys create` or the console shows it once."
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Made once in `app`, handed to every request."""

    settings: IngestSettings
    clock: Clock
    engine: Engine
    keyring: Keyring
    publisher: Publisher
    currencies: Currencies
    rate_limit: RateLimit
    quotes: Desk[Wanted, Offer | Refused]
    bookings: Desk[Question, Answer]
    redemptions: Redemptions
    news: News


def parts_of(request: Request) -> Parts:
    """The parts of the application that serves `request`."""
    return cast("Parts", request.app.state.parts)


async def terminal_key(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Key:
    """The key of a caller that may publish; else 401 or 403."""
    if given is None:
        raise unauthorized("Send the terminal's key as `Authorization: Bearer rg....`.")
    keyring = parts_of(request).keyring
    token = given.credentials
    key = keyring.known(token) or await asyncio.to_thread(keyring.authenticate, token)
    if key is None:
        raise unauthorized("This key does not exist or was revoked. Make another with `regulars keys create`.")
    if key.role not in PUBLISHERS:
        raise ForbiddenError(f"A key of role {key.role} publishes nothing. Use one of role terminal or owner.")
    return key

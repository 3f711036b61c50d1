"""/o/{token} and /c/{token}/{number}: a mail was opened, a link of it followed."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from services.ingest import clicks, news, pages
from services.ingest.feedback import Feedback, mail_event, record, went_at
from services.ingest.parts import Parts, parts_of
from shared.database.away import AWAY
from shared.domain.links import read_link
from shared.domain.machines import Click, Fetch, came_too_soon, gives_itself_away
from shared.errors import InvalidError
from shared.logging import logger

PIXEL: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
LONGEST_NUMBER: Final = 4  # digits
PURPOSE_HEADERS: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")
router = APIRouter(tags=["links in mails"])
log = logger(__name__)


@router.head("/o/{token}", include_in_schema=False)
@router.get("/o/{token}", summary="The pixel of a mail", response_class=Response)
async def opened(request: Request, token: str) -> Response:
    """Note the open, and give the picture in any case: nobody may see a broken one. An open that cannot be written
    down, because the database is away, is lost.
    """
    parts = parts_of(request)
    try:
        organization_id, message_id = _read(parts, token)
        await run_in_threadpool(_note_open, parts, organization_id, UUID(message_id), _fetch(request))
        parts.news.wake()
    except InvalidError:
        pass
    except AWAY as error:
        log.warning("open.lost", error=str(error).partition("\n")[0])
    return Response(PIXEL, media_type="image/gif", headers={"Cache-Control": "no-store, private"} | pages.HEADERS)


@router.head("/c/{token}/{number}", include_in_schema=False)
@router.get("/c/{token}/{number}", summary="Follow a link", response_class=Response)
async def followed(request: Request, token: str, number: str) -> Response:
    """Redirect to a link that the mail held, and to no other; the click is kept, whether Kafka is there or not."""
    parts = parts_of(request)
    try:
        organization_id, message_id = _read(parts, token)
        mail = UUID(message_id)
        link = await run_in_threadpool(_note_click, parts, organization_id, mail, _number(number), _fetch(request))
    except InvalidError:
        return pages.broken()
    except AWAY as error:
        log.warning("click.unfinished", error=str(error).partition("\n")[0])
        return pages.later("Go on", method="get")
    if link is None:
        return pages.broken()
    return RedirectResponse(link, 302, pages.HEADERS)


def _read(parts: Parts, token: str) -> tuple[str, str]:
    return read_link(parts.settings.secret.get_secret_value(), "track", token)


def _number(given: str) -> int:
    if not (given.isascii() and given.isdigit()) or len(given) > LONGEST_NUMBER:
        raise InvalidError("This is no number of a link.", "number")
    return int(given)


def _fetch(request: Request) -> Fetch:
    purpose = " ".join(request.headers.get(name, "") for name in PURPOSE_HEADERS)
    return Fetch(request.headers.get("user-agent", ""), request.method, purpose)


def _note_open(parts: Parts, organization_id: str, message_id: UUID, fetch: Fetch) -> None:
    now = parts.clock()
    with parts.engine.begin() as connection:
        machine = gives_itself_away(fetch) or _too_soon(parts, now, went_at(connection, organization_id, message_id))
        seen = Feedback("opened", now, machine=machine)
        mail = record(connection, organization_id, message_id, seen)
        if mail is not None and not mail.erased:
            event_id = open_id(message_id, now, machine=machine)
            news.keep(connection, organization_id, {event_id: mail_event(mail, seen, event_id)})


def _too_soon(parts: Parts, now: datetime, went_at: datetime | None) -> bool:
    return came_too_soon(now, went_at, timedelta(seconds=parts.settings.too_soon_seconds))


def open_id(message_id: UUID, at: datetime, *, machine: bool) -> str:
    """Pictures are loaded at every look into a mail: the looks of one hour are one event."""
    return f"{message_id}:opened:{'machine:' if machine else ''}{at:%Y-%m-%dT%H}"


def _note_click(parts: Parts, organization_id: str, message_id: UUID, number: int, fetch: Fetch) -> str | None:
    now = parts.clock()
    with parts.engine.begin() as connection:
        found = clicks.target(connection, organization_id, message_id, number)
        if found is None:
            return None
        told = gives_itself_away(fetch) or _too_soon(parts, now, found.went_at)
        clicks.note(connection, organization_id, message_id, Click(found.link, now, told))
    return found.link

"""/u/{token}: leaving the list, by the button of a page or by a mail program's own (RFC 8058)."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from services.ingest import news, pages
from services.ingest.feedback import Feedback, Mail, consents_since, mail_event, record
from services.ingest.parts import Parts, parts_of
from services.ingest.records import Record, event_record
from shared.database.away import AWAY
from shared.database.tables import organization
from shared.domain.links import read_link
from shared.errors import InvalidError
from shared.logging import logger

PURPOSE: Final = "unsubscribe"
WHERE: Final = "unsubscribe link"
WORDING: Final = "Unsubscribe: stop all marketing mail from {organization}."
BUTTON: Final = "Unsubscribe"
router = APIRouter(tags=["links in mails"], default_response_class=HTMLResponse)
log = logger(__name__)


@router.get("/u/{token}", summary="Show the page with the button")
async def ask(request: Request, token: str) -> HTMLResponse:
    """Change nothing: scanners and mail programs fetch links that nobody clicked."""
    parts = parts_of(request)
    try:
        organization_id, _ = _read(parts, token)
        name = await run_in_threadpool(_name_of, parts, organization_id)
    except InvalidError:
        return pages.broken()
    except AWAY:
        return pages.later(BUTTON)
    return pages.show("unsubscribe", organization=name, wording=WORDING.format(organization=name))


@router.post("/u/{token}", summary="Unsubscribe")
async def unsubscribe(request: Request, token: str) -> HTMLResponse:
    """Take effect at once, for queued mail too. The body (`List-Unsubscribe=One-Click`) says nothing new."""
    parts = parts_of(request)
    try:
        organization_id, message_id = _read(parts, token)
        told = Feedback("unsubscribed", parts.clock(), suppress="unsubscribe")
        name = await run_in_threadpool(_record, parts, organization_id, UUID(message_id), told)
    except InvalidError:
        return pages.broken()
    except AWAY as error:
        log.warning("unsubscribe.unfinished", error=str(error).partition("\n")[0])
        return pages.later(BUTTON)
    parts.news.wake()
    return pages.show("unsubscribed", organization=name)


def _read(parts: Parts, token: str) -> tuple[str, str]:
    return read_link(parts.settings.secret.get_secret_value(), PURPOSE, token)


def _name_of(parts: Parts, organization_id: str) -> str:
    wanted = select(organization.c.name).where(organization.c.organization_id == organization_id)
    with parts.engine.connect() as connection:
        return connection.execute(wanted).scalar() or "this shop"


def _record(parts: Parts, organization_id: str, message_id: UUID, told: Feedback) -> str:
    """The organization's name. The events wait for Kafka, if need be: mail programs press a button once."""
    name = _name_of(parts, organization_id)
    with parts.engine.begin() as connection:
        mail = record(connection, organization_id, message_id, told)
        if mail is not None and not mail.erased:
            again = told.at if consents_since(connection, mail) else None
            news.keep(connection, organization_id, left(mail, WHERE, WORDING.format(organization=name), again))
    return name


def left(mail: Mail, where: str, wording: str, again: datetime | None = None) -> dict[str, Record]:
    """The events of leaving, by id: the news, and the withdrawn consent for the ledger; told at the instant of the
    first time, however often. `again` is when it was done once more after a new consent.
    """
    data = {
        "organization_id": mail.organization_id,
        "customer_id": mail.customer_id,
        "marketing_consent": False,
        "where": where,
        "wording": wording,
    }
    told, consent = f"{mail.message_id}:unsubscribed", f"{mail.message_id}:consent"
    if again is not None:
        consent += f":{again.isoformat()}"
    return {
        told: mail_event(mail, Feedback("unsubscribed", mail.at), told),
        consent: event_record(mail.organization_id, "customer.consent_changed", consent, again or mail.at, data),
    }

"""/p/{token}: how often and at what time of day a customer wants mail."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import and_, func, select
from starlette.concurrency import run_in_threadpool

from services.ingest import pages
from services.ingest.feedback import event_record
from services.ingest.parts import Parts, parts_of
from services.ingest.routes import unsubscribe
from shared.database.away import AWAY
from shared.database.tables import customer, message, organization
from shared.domain.links import read_link, sign_link
from shared.errors import InvalidError, TransientError
from shared.logging import logger

PURPOSE: Final = "preferences"
FREQUENCIES: Final = {
    "daily": "Up to once a day",
    "weekly": "Up to once a week",
    "monthly": "Up to once a month",
    "never": "Never",
}
TIMES: Final = {
    "": "Any time",
    "morning": "In the morning, 9 to 12",
    "afternoon": "In the afternoon, 12 to 17",
    "evening": "In the evening, 17 to 20",
}
router = APIRouter(tags=["links in mails"], default_response_class=HTMLResponse)
log = logger(__name__)


class Choice(NamedTuple):
    """What a customer chose; "" as time of day is any."""

    frequency: str
    time: str


class Reader(NamedTuple):
    """Whom a mail went to, and what they chose so far."""

    organization_id: str
    message_id: str
    customer_id: str
    organization_name: str
    chosen: Choice


@router.get("/p/{token}", summary="Show the preferences")
async def ask(request: Request, token: str) -> HTMLResponse:
    """Show what is chosen now; change nothing."""
    parts = parts_of(request)
    try:
        reader = await run_in_threadpool(_reader, parts, token)
    except (InvalidError, ValueError):
        return pages.broken()
    except AWAY:
        return pages.later("Try again")
    return _show(parts, reader, reader.chosen, saved=False)


@router.post("/p/{token}", summary="Save the preferences")
async def save(request: Request, token: str) -> HTMLResponse:
    """Publish what was chosen as `customer.upserted`; a form without a choice shows the page again."""
    parts = parts_of(request)
    form = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    try:
        reader = await run_in_threadpool(_reader, parts, token)
        chosen = _chosen(form, reader.chosen)
        if form:
            await _publish(parts, reader, chosen)
    except (InvalidError, ValueError):
        return pages.broken()
    except (*AWAY, TransientError) as error:
        log.warning("preferences.unfinished", error=str(error).partition("\n")[0])
        return pages.later("Try again")
    return _show(parts, reader, chosen, saved=bool(form))


def _reader(parts: Parts, token: str) -> Reader:
    """Raises InvalidError for a link that is not ours, or whose customer was erased."""
    organization_id, message_id = read_link(parts.settings.secret.get_secret_value(), PURPOSE, token)
    same_customer = and_(
        customer.c.organization_id == message.c.organization_id, customer.c.customer_id == message.c.customer_id
    )
    wanted = (
        select(
            message.c.customer_id,
            organization.c.name,
            customer.c.email_frequency,
            customer.c.preferred_contact_time,
        )
        .select_from(message)
        .join(organization, organization.c.organization_id == message.c.organization_id)
        .outerjoin(customer, same_customer)
        .where(
            message.c.organization_id == organization_id,
            message.c.message_id == UUID(message_id),
            # The mailer may not have written down the address yet; an erased customer has none.
            func.coalesce(message.c.email, customer.c.email).is_not(None),
        )
    )
    with parts.engine.connect() as connection:
        row = connection.execute(wanted).first()
    if row is None:
        raise InvalidError("This link speaks for nobody any more.", "token")
    chosen = Choice(row.email_frequency or "daily", row.preferred_contact_time or "")
    return Reader(organization_id, message_id, row.customer_id, row.name, chosen)


def _chosen(form: dict[str, list[str]], before: Choice) -> Choice:
    """What the form says; what it leaves out, or says in words we do not have, stays."""
    frequency, time = form.get("frequency", [""])[0], form.get("time", [before.time])[0]
    return Choice(
        frequency if frequency in FREQUENCIES else before.frequency,
        time if time in TIMES else before.time,
    )


async def _publish(parts: Parts, reader: Reader, chosen: Choice) -> None:
    data: dict[str, Any] = {
        "organization_id": reader.organization_id,
        "customer_id": reader.customer_id,
        "email_frequency": chosen.frequency,
        "preferred_contact_time": chosen.time or None,
    }
    event_id = f"{reader.message_id}:preferences:{uuid4().hex}"
    event = event_record(reader.organization_id, "customer.upserted", event_id, parts.clock(), data)
    await parts.publisher.publish([event])


def _show(parts: Parts, reader: Reader, chosen: Choice, *, saved: bool) -> HTMLResponse:
    secret = parts.settings.secret.get_secret_value()
    token = sign_link(secret, unsubscribe.PURPOSE, reader.organization_id, reader.message_id)
    return pages.show(
        "preferences",
        organization=reader.organization_name,
        saved=saved,
        fields=[
            {"name": "frequency", "legend": "How often?", "choices": FREQUENCIES.items(), "chosen": chosen.frequency},
            {"name": "time", "legend": "When?", "choices": TIMES.items(), "chosen": chosen.time},
        ],
        unsubscribe_path=f"../u/{token}",
    )

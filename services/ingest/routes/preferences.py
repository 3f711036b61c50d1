"""/p/{token}: whether, how often and at what time of day a customer wants mail."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection, and_, func, select
from starlette.concurrency import run_in_threadpool

from services.ingest import news, pages
from services.ingest.feedback import ERASED, Feedback, consents_since, record
from services.ingest.parts import Parts, parts_of
from services.ingest.records import Record, event_record
from services.ingest.routes.unsubscribe import left
from shared.database.away import AWAY
from shared.database.tables import customer, customer_merge, message, organization, suppression
from shared.domain.links import read_link
from shared.errors import InvalidError
from shared.logging import logger

PURPOSE: Final = "preferences"
WHERE: Final = "preference page"
# What stood beside the button, word for word: the evidence of the consent.
CONSENTS: Final = {
    "yes": "Yes, {organization} may send me offers and news by mail.",
    "no": "No, {organization} may not send me any marketing mail.",
}
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
# What no consent lifts, in words.
STOPPED: Final = {
    "bounce": "mail to your address came back",
    "complaint": "a mail to your address was reported as spam",
    "import": "your address is on a list of those that get no mail",
}
router = APIRouter(tags=["links in mails"], default_response_class=HTMLResponse)
log = logger(__name__)


class Choice(NamedTuple):
    """What a customer chose; "" as time of day is any."""

    consent: str
    frequency: str
    time: str


class Reader(NamedTuple):
    """Whom a mail went to, and what they chose so far. `stopped` says why no mail reaches them whatever they choose."""

    organization_id: str
    message_id: str
    customer_id: str
    organization_name: str
    chosen: Choice
    stopped: str | None


@router.get("/p/{token}", summary="Show the preferences")
async def ask(request: Request, token: str) -> HTMLResponse:
    """Show what is chosen now; change nothing."""
    parts = parts_of(request)
    try:
        reader = await run_in_threadpool(_reader, parts, token)
    except InvalidError:
        return pages.broken()
    except AWAY:
        return pages.later("Try again", method="get")
    return _show(reader, reader.chosen, saved=False)


@router.post("/p/{token}", summary="Save the preferences")
async def save(request: Request, token: str) -> HTMLResponse:
    """Have what was chosen published as `customer.upserted` and, where it is another one, the consent with its evidence
    as `customer.consent_changed`. Who withdraws it gets nothing any more, at once. A form without a choice shows the
    page again.
    """
    parts = parts_of(request)
    form = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    try:
        reader = await run_in_threadpool(_reader, parts, token)
        chosen = _chosen(form, reader.chosen)
        if form:
            await run_in_threadpool(_keep, parts, reader, chosen)
    except InvalidError:
        return pages.broken()
    except AWAY as error:
        log.warning("preferences.unfinished", error=str(error).partition("\n")[0])
        return pages.later("Try again", method="get")
    parts.news.wake()
    return _show(reader, chosen, saved=bool(form))


def _reader(parts: Parts, token: str) -> Reader:
    """Raises InvalidError for a link that is not ours, or whose customer was erased."""
    organization_id, message_id = read_link(parts.settings.secret.get_secret_value(), PURPOSE, token)
    merged = and_(
        customer_merge.c.organization_id == message.c.organization_id,
        customer_merge.c.customer_id == message.c.customer_id,
    )
    same_customer = and_(
        customer.c.organization_id == message.c.organization_id,
        customer.c.customer_id == func.coalesce(customer_merge.c.root_customer_id, message.c.customer_id),
    )
    of_address = and_(
        suppression.c.organization_id == message.c.organization_id,
        suppression.c.email == func.lower(func.coalesce(customer.c.email, message.c.email)),
    )
    wanted = (
        select(
            message.c.customer_id,
            organization.c.name,
            customer.c.email_frequency,
            customer.c.preferred_contact_time,
            func.coalesce(customer.c.marketing_consent, False).label("consent"),
            customer.c.consent_at,
            suppression.c.reason,
            suppression.c.at.label("suppressed_at"),
        )
        .select_from(message)
        .join(organization, organization.c.organization_id == message.c.organization_id)
        .outerjoin(customer_merge, merged)
        .outerjoin(customer, same_customer)
        .outerjoin(suppression, of_address)
        .where(message.c.organization_id == organization_id, message.c.message_id == UUID(message_id))
    )
    with parts.engine.connect() as connection:
        row = connection.execute(wanted).first()
    if row is None or row.customer_id.startswith(ERASED):
        raise InvalidError("This link speaks for nobody any more.", "token")
    # An unsubscribe is newer than the consent until the ledger has counted it.
    withdrawn = row.reason == "unsubscribe" and (row.consent_at is None or row.consent_at <= row.suppressed_at)
    consent = "yes" if row.consent and not withdrawn else "no"
    chosen = Choice(consent, row.email_frequency or "daily", row.preferred_contact_time or "")
    return Reader(organization_id, message_id, row.customer_id, row.name, chosen, STOPPED.get(row.reason))


def _chosen(form: dict[str, list[str]], before: Choice) -> Choice:
    """What the form says; what it leaves out, or says in words we do not have, stays."""
    said = Choice(*(form.get(name, [getattr(before, name)])[0] for name in Choice._fields))
    return Choice(
        said.consent if said.consent in CONSENTS else before.consent,
        said.frequency if said.frequency in FREQUENCIES else before.frequency,
        said.time if said.time in TIMES else before.time,
    )


def _keep(parts: Parts, reader: Reader, chosen: Choice) -> None:
    now = parts.clock()
    own = {"organization_id": reader.organization_id, "customer_id": reader.customer_id}
    event_id = f"{reader.message_id}:preferences:{uuid4().hex}"
    profile = own | {"email_frequency": chosen.frequency, "preferred_contact_time": chosen.time or None}
    events: dict[str, Record] = {
        event_id: event_record(reader.organization_id, "customer.upserted", event_id, now, profile)
    }
    with parts.engine.begin() as connection:
        if chosen.consent != reader.chosen.consent:
            wording = CONSENTS[chosen.consent].format(organization=reader.organization_name)
            if chosen.consent == "yes":
                consent = own | {"marketing_consent": True, "where": WHERE, "wording": wording}
                given = f"{event_id}:consent"
                events[given] = event_record(reader.organization_id, "customer.consent_changed", given, now, consent)
            else:
                events |= _withdrawn(connection, reader, wording, Feedback("unsubscribed", now, suppress="unsubscribe"))
        news.keep(connection, reader.organization_id, events)


def _withdrawn(connection: Connection, reader: Reader, wording: str, told: Feedback) -> dict[str, Record]:
    mail = record(connection, reader.organization_id, UUID(reader.message_id), told)
    if mail is None:
        return {}
    return left(mail, WHERE, wording, told.at if consents_since(connection, mail) else None)


def _show(reader: Reader, chosen: Choice, *, saved: bool) -> HTMLResponse:
    consents = {name: said.format(organization=reader.organization_name) for name, said in CONSENTS.items()}
    fields: list[dict[str, Any]] = [
        {"name": "consent", "legend": "May we write to you?", "choices": consents.items(), "chosen": chosen.consent},
        {"name": "frequency", "legend": "How often?", "choices": FREQUENCIES.items(), "chosen": chosen.frequency},
        {"name": "time", "legend": "When?", "choices": TIMES.items(), "chosen": chosen.time},
    ]
    return pages.show(
        "preferences",
        organization=reader.organization_name,
        saved=saved,
        leaves=chosen.consent == "no" or chosen.frequency == "never",
        stopped=reader.stopped,
        fields=fields,
    )

"""/v/{token}: a customer confirms their address."""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import and_, func, select
from starlette.concurrency import run_in_threadpool

from services.ingest import news, pages
from services.ingest.parts import Parts, parts_of
from services.ingest.records import event_record
from shared.database.away import AWAY
from shared.database.tables import customer, customer_merge, direct_mail, organization
from shared.domain.links import read_link
from shared.errors import InvalidError
from shared.logging import logger

BUTTON: Final = "Yes, confirm"
router = APIRouter(tags=["links in mails"], default_response_class=HTMLResponse)
log = logger(__name__)


class Asked(NamedTuple):
    """Who was asked about which address; `present` is the one that the customer has now."""

    organization_id: str
    mail_id: str
    customer_id: str
    email: str
    organization_name: str
    present: str | None

    @property
    def is_another(self) -> bool:
        """Whether the customer has another address by now."""
        return self.present is not None and self.present.lower() != self.email.lower()


@router.get("/v/{token}", summary="Show the page with the button")
async def ask(request: Request, token: str) -> HTMLResponse:
    """Change nothing: scanners follow links, too, and must confirm nobody's address."""
    try:
        asked = await run_in_threadpool(_asked, parts_of(request), token)
    except InvalidError:
        return pages.broken()
    except AWAY:
        return pages.later("Try again", method="get")
    return _show(asked, done=False)


@router.post("/v/{token}", summary="Confirm the address")
async def confirm(request: Request, token: str) -> HTMLResponse:
    """Have `customer.upserted` published for exactly the address that the mail went to."""
    parts = parts_of(request)
    try:
        asked = await run_in_threadpool(_asked, parts, token)
        if not asked.is_another:
            await run_in_threadpool(_keep, parts, asked)
            parts.news.wake()
    except InvalidError:
        return pages.broken()
    except AWAY as error:
        log.warning("verification.unfinished", error=str(error).partition("\n")[0])
        return pages.later(BUTTON)
    return _show(asked, done=True)


def _asked(parts: Parts, token: str) -> Asked:
    """Raises InvalidError for a link that is not ours, or whose customer was erased."""
    organization_id, mail_id = read_link(parts.settings.secret.get_secret_value(), "verify", token)
    merged = and_(
        customer_merge.c.organization_id == direct_mail.c.organization_id,
        customer_merge.c.customer_id == direct_mail.c.customer_id,
    )
    same_customer = and_(
        customer.c.organization_id == direct_mail.c.organization_id,
        customer.c.customer_id == func.coalesce(customer_merge.c.root_customer_id, direct_mail.c.customer_id),
    )
    wanted = (
        select(direct_mail.c.customer_id, direct_mail.c.email, organization.c.name, customer.c.email.label("present"))
        .select_from(direct_mail)
        .join(organization, organization.c.organization_id == direct_mail.c.organization_id)
        .outerjoin(customer_merge, merged)
        .outerjoin(customer, same_customer)
        .where(
            direct_mail.c.organization_id == organization_id,
            direct_mail.c.mail_id == UUID(mail_id),
            direct_mail.c.kind == "verification",
        )
    )
    with parts.engine.connect() as connection:
        row = connection.execute(wanted).first()
    if row is None:
        raise InvalidError("This link speaks for nobody any more.", "token")
    return Asked(organization_id, mail_id, *row)


def _keep(parts: Parts, asked: Asked) -> None:
    event_id = f"{asked.mail_id}:verified"
    data = {
        "organization_id": asked.organization_id,
        "customer_id": asked.customer_id,
        "email_verified": True,
        "verified_email": asked.email,
    }
    event = event_record(asked.organization_id, "customer.upserted", event_id, parts.clock(), data)
    with parts.engine.begin() as connection:
        news.keep(connection, asked.organization_id, {event_id: event})


def _show(asked: Asked, *, done: bool) -> HTMLResponse:
    return pages.show(
        "verification",
        organization=asked.organization_name,
        email=asked.email,
        is_another=asked.is_another,
        done=done,
        button=BUTTON,
    )

"""POST /webhooks/resend: what became of a mail."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from services.ingest import clicks, news
from services.ingest.feedback import is_known, mail_event, record, record_direct
from services.ingest.parts import Parts, parts_of
from services.ingest.resend_webhook import Webhook, read, verify
from shared.domain.links import read_link
from shared.domain.machines import Click
from shared.errors import InvalidError
from shared.logging import logger
from shared.problems import Problem, described

router = APIRouter(tags=["webhooks"])
log = logger(__name__)


@router.post("/webhooks/resend", summary="Take a webhook of Resend", responses=described(400, 413, 503))
async def resend(request: Request) -> dict[str, str]:
    """Verify, record, publish as `mail.*`. Repeated and disordered webhooks change nothing twice.

    503 while the database is away: Resend delivers again. While Kafka is away the news is kept.
    """
    parts = parts_of(request)
    try:
        payload = verify(await request.body(), request.headers, parts.settings.webhook_secret.get_secret_value())
    except InvalidError as error:
        raise Problem(400, "Bad Request", str(error)) from error
    webhook = read(payload, request.headers["svix-id"], parts.clock())
    if webhook is None:
        return {"status": "ignored"}
    if not await run_in_threadpool(_record, parts, webhook):
        log.warning("webhook.unknown_mail", webhook_id=webhook.webhook_id, kind=webhook.news.kind)
        return {"status": "unknown mail"}
    parts.news.wake()
    return {"status": "recorded"}


def _record(parts: Parts, webhook: Webhook) -> bool:
    """Whether it is about a mail that we know."""
    organization_id, message_id, told = webhook.organization_id, webhook.message_id, webhook.news
    with parts.engine.begin() as connection:
        if told.kind == "clicked" and told.link:
            if not is_known(connection, organization_id, message_id):
                return False
            # Understood later, beside the other clicks of the mail.
            link = _own(parts, connection, told.link) or told.link
            clicks.note(connection, organization_id, message_id, Click(link, told.at, told.machine))
            return True
        mail = record(connection, organization_id, message_id, told)
        if mail is None:
            return record_direct(connection, organization_id, message_id, told)
        # Of a mail that never went there is no event.
        if not mail.erased and told.kind != "failed":
            event_id = f"svix:{webhook.webhook_id}"
            news.keep(connection, organization_id, {event_id: mail_event(mail, told, event_id)})
        return True


def _own(parts: Parts, connection: Connection, link: str) -> str | None:
    """Where a tracked link of ours leads, which the provider tracked once more."""
    own = parts.settings.public_url.rstrip("/") + "/c/"
    token, _, number = link.removeprefix(own).partition("/")
    if not link.startswith(own) or not number.isdecimal():
        return None
    try:
        organization_id, message_id = read_link(parts.settings.secret.get_secret_value(), "track", token)
    except InvalidError:
        return None
    found = clicks.target(connection, organization_id, UUID(message_id), int(number))
    return found and found.link

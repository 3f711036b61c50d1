"""POST /webhooks/resend: what became of a mail."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from services.ingest.feedback import Mail, mail_event, record
from services.ingest.parts import Parts, parts_of
from services.ingest.resend_webhook import Webhook, read, verify
from shared.errors import InvalidError
from shared.logging import logger
from shared.problems import Problem, described

router = APIRouter(tags=["webhooks"])
log = logger(__name__)


@router.post("/webhooks/resend", summary="Take a webhook of Resend", responses=described(400, 413, 503))
async def resend(request: Request) -> dict[str, str]:
    """Verify, record, publish as `mail.*`. Repeated and disordered webhooks change nothing twice.

    503 while the database or Kafka is away: Resend delivers again.
    """
    parts = parts_of(request)
    try:
        payload = verify(await request.body(), request.headers, parts.settings.webhook_secret.get_secret_value())
    except InvalidError as error:
        raise Problem(400, "Bad Request", str(error)) from error
    webhook = read(payload, request.headers["svix-id"], parts.clock())
    if webhook is None:
        return {"status": "ignored"}
    mail = await run_in_threadpool(_record, parts, webhook)
    if mail is None:
        log.warning("webhook.unknown_mail", webhook_id=webhook.webhook_id, kind=webhook.news.kind)
        return {"status": "unknown mail"}
    await parts.publisher.publish([mail_event(mail, webhook.news, f"svix:{webhook.webhook_id}")])
    return {"status": "recorded"}


def _record(parts: Parts, webhook: Webhook) -> Mail | None:
    with parts.engine.begin() as connection:
        return record(connection, webhook.organization_id, webhook.message_id, webhook.news)

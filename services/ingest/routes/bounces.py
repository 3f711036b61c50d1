"""POST /webhooks/bounces: a mail that came back by SMTP, as the server delivered it."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from services.ingest import news
from services.ingest.feedback import Feedback, mail_event, record, record_direct
from services.ingest.parts import Parts, parts_of
from shared.database.tables import organization
from shared.domain.bounces import Bounce, read_bounce, read_bounce_token
from shared.domain.links import read_link
from shared.errors import InvalidError
from shared.logging import logger
from shared.problems import described

router = APIRouter(tags=["webhooks"])
log = logger(__name__)


class Answer(BaseModel):
    """`ignored`: it reports no failed delivery. `unknown mail`: of no mail that this installation signed."""

    status: Literal["recorded", "ignored", "unknown mail"]


BODY = {"requestBody": {"required": True, "content": {"message/rfc822": {"schema": {"type": "string"}}}}}


@router.post(
    "/webhooks/bounces", summary="Take a bounced mail", responses=described(413, 503), openapi_extra=dict(BODY)
)
async def bounces(request: Request) -> Answer:
    """The whole mail as it arrived (RFC 3464). No key is needed: it counts only for the mail whose signed return path
    or unsubscribe link it carries. Repeated ones change nothing twice.
    """
    parts = parts_of(request)
    bounce = await run_in_threadpool(read_bounce, await request.body())
    if bounce is None:
        return Answer(status="ignored")
    if not await run_in_threadpool(_record, parts, bounce):
        log.warning("bounce.unknown_mail", why=bounce.why)
        return Answer(status="unknown mail")
    parts.news.wake()
    return Answer(status="recorded")


def _record(parts: Parts, bounce: Bounce) -> bool:
    """Whether it is about a mail that we know."""
    told = Feedback("bounced", parts.clock(), suppress="bounce" if bounce.hard else None, detail=bounce.why)
    with parts.engine.begin() as connection:
        found = _mail_of(parts, connection, bounce)
        if found is None:
            return False
        organization_id, message_id = found
        mail = record(connection, organization_id, message_id, told)
        if mail is None:
            return record_direct(connection, organization_id, message_id, told)
        if not mail.erased:
            event_id = f"{message_id}:bounced"
            news.keep(connection, organization_id, {event_id: mail_event(mail, told, event_id)})
        return True


def _mail_of(parts: Parts, connection: Connection, bounce: Bounce) -> tuple[str, UUID] | None:
    secret = parts.settings.secret.get_secret_value()
    if bounce.token is not None:
        organizations = connection.execute(select(organization.c.organization_id)).scalars()
        return read_bounce_token(secret, bounce.token, organizations)
    try:
        organization_id, message_id = read_link(secret, "unsubscribe", bounce.link or "")
    except InvalidError:
        return None
    return organization_id, UUID(message_id)

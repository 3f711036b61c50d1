"""POST /v1/events: a terminal's events into Kafka."""

from __future__ import annotations

import logging
import time
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from services.ingest.batch import Rejection, Verdict, judge
from services.ingest.parts import parts_of, terminal_key
from services.ingest.rate_limit import too_many
from services.ingest.routes.examples import ACCEPTED, REJECTED, REQUEST
from shared import metrics
from shared.domain.events import id_of, split_batch, topic_of
from shared.errors import InvalidError
from shared.keys import Key
from shared.logging import logger
from shared.problems import Problem, described

MOST_EVENTS: Final = 1_000
NAMED: Final = 20  # ids in a line of the log
log = logger(__name__)
router = APIRouter(tags=["events"])


@router.post(
    "/v1/events",
    status_code=202,
    summary="Publish one event or a batch",
    response_class=Response,
    responses={202: ACCEPTED, **described(401, 403, 413, 415, 429, 503), 400: REJECTED},
    openapi_extra={"requestBody": REQUEST},
)
async def publish_events(request: Request, key: Annotated[Key, Depends(terminal_key)]) -> Response:
    """One event, a JSON array, or one event a line (`application/x-ndjson`); up to 1,000.

    202 says that Kafka holds every accepted event on disk. Bad events are named with the field and what to do; their
    good neighbours are kept. After 429, 503 or no answer at all, send the same again: an event counts once by its
    `source` and `id`.
    """
    parts = parts_of(request)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "Unsupported Media Type", "Send the body without compression.")
    events = _split(await request.body(), request.headers.get("content-type", ""))
    wait = parts.rate_limit.take(key.organization_id, key.key_id, len(events), time.monotonic())
    if wait:
        raise too_many(parts.settings.rate_limit, wait)
    currency = await parts.currencies.of(key.organization_id)
    verdict = judge(events, key.organization_id, currency, parts.clock())
    _count_rejected(verdict)
    if not verdict.accepted:
        raise _none_good(verdict)
    await parts.publisher.publish(verdict.accepted)
    if log.is_enabled_for(logging.DEBUG):
        log.debug("events.accepted", event_ids=[id_of(record.value) for record in verdict.accepted])
    for kind, count in verdict.kinds.items():
        metrics.events.labels(topic_of(kind), kind, "accepted").inc(count)
    answer = {"accepted": len(verdict.accepted), "rejected": verdict.rejected}
    return Response(msgspec.json.encode(answer), 202, media_type="application/json")


def _split(body: bytes, content_type: str) -> list[bytes]:
    try:
        events = split_batch(body, content_type)
    except InvalidError as error:
        raise Problem(400, "Bad Request", str(error), members={"accepted": 0, "rejected": []}) from error
    if len(events) > MOST_EVENTS:
        detail = f"A request holds at most {MOST_EVENTS:,} events; this one has {len(events):,}. Send them in parts."
        raise Problem(413, "Content Too Large", detail)
    return events


def _count_rejected(verdict: Verdict) -> None:
    # Neither topic nor type of what could not be read is known; the reason is in the answer and in the log.
    if verdict.rejected:
        metrics.events.labels("", "", "rejected").inc(len(verdict.rejected))
        ids = [rejection.id for rejection in verdict.rejected[:NAMED]]
        log.info("events.rejected", rejected=len(verdict.rejected), codes=dict(verdict.codes), event_ids=ids)


def _none_good(verdict: Verdict) -> Problem:
    rejected = [_shown(rejection) for rejection in verdict.rejected]
    members = {"accepted": 0, "rejected": rejected}
    first = verdict.rejected[0].reason
    if verdict.is_foreign:
        return Problem(403, "Forbidden", first, members=members)
    detail = first if len(rejected) == 1 else f"None of the {len(rejected):,} events is good. The first: {first}"
    return Problem(400, "Bad Request", detail, members=members)


def _shown(rejection: Rejection) -> dict[str, object]:
    return {"index": rejection.index, "id": rejection.id, "reason": rejection.reason}

"""/campaigns, the steps of their life, and their mails."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response

from services.admin import campaign_audience, campaign_previews, campaign_results, campaigns, decisions, idempotency
from services.admin.access import IfMatch, Marketer, Now, Parts, RequestKey, Viewer
from services.admin.campaign_audience import Audience
from services.admin.campaign_life import Step
from services.admin.campaign_models import Campaign, Content, SendAt
from services.admin.campaign_previews import Preview, TestMails, TestRequest
from services.admin.campaign_results import Results
from services.admin.decisions import Decision
from services.admin.paging import Cursor, Limit, Page
from services.admin.versions import etag
from shared.domain.event_fields import CustomerId
from shared.problems import described

router = APIRouter(tags=["campaigns"])
CampaignId = Annotated[str, Path(min_length=1, max_length=128)]
ONE = "/campaigns/{campaign_id}"


@router.get("/campaigns")
def entries(key: Viewer, parts: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[Campaign]:
    """By id."""
    with parts.engine.connect() as connection:
        return campaigns.page(connection, key.organization_id, limit, cursor)


@router.post("/campaigns", status_code=201)
def create(
    wanted: Content, *, key: Marketer, parts: Parts, now: Now, response: Response, request_key: RequestKey = None
) -> Campaign:
    """Write a draft."""
    with parts.engine.begin() as connection:
        campaign_id = idempotency.once(
            connection, key, request_key, wanted, lambda: campaigns.create(connection, key, wanted, now)
        )
        made = campaigns.read(connection, key.organization_id, campaign_id)
    response.headers["Location"] = f"/v1/campaigns/{campaign_id}"
    response.headers["ETag"] = etag(made.version)
    return made


@router.get(ONE)
def read(campaign_id: CampaignId, key: Viewer, parts: Parts, response: Response) -> Campaign:
    """One campaign with its counts."""
    with parts.engine.connect() as connection:
        found = campaigns.read(connection, key.organization_id, campaign_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch(
    ONE,
    responses=described(409, 412),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Content"}}}}
    },
)
def change(
    campaign_id: CampaignId,
    given: Annotated[dict[str, Any], Body()],
    *,
    key: Marketer,
    parts: Parts,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> Campaign:
    """Change what is given; what is absent stays. A running automation goes by it from the next mail on."""
    with parts.engine.begin() as connection:
        changed = campaigns.change(connection, key, campaign_id, given, now=now, if_match=if_match)
    response.headers["ETag"] = etag(changed.version)
    return changed


@router.delete(ONE, status_code=204, responses=described(409))
def remove(campaign_id: CampaignId, key: Marketer, parts: Parts) -> None:
    """Delete a campaign that never planned a mail."""
    with parts.engine.begin() as connection:
        campaigns.remove(connection, key, campaign_id)


@router.post(f"{ONE}/send", responses=described(409))
def send(campaign_id: CampaignId, key: Marketer, parts: Parts, now: Now, wanted: SendAt | None = None) -> Campaign:
    """Send a one-off, now or at an instant; again before that instant to move it."""
    at = None if wanted is None else wanted.at
    with parts.engine.begin() as connection:
        return campaigns.take(connection, key, campaign_id, Step.SEND, now=now, at=at)


@router.post(f"{ONE}/activate", responses=described(409))
def activate(campaign_id: CampaignId, key: Marketer, parts: Parts, now: Now) -> Campaign:
    """Start an automation: it follows what happens from here on."""
    return _take(campaign_id, Step.ACTIVATE, key, parts, now)


@router.post(f"{ONE}/pause", responses=described(409))
def pause(campaign_id: CampaignId, key: Marketer, parts: Parts, now: Now) -> Campaign:
    """Hold all mails that have not gone."""
    return _take(campaign_id, Step.PAUSE, key, parts, now)


@router.post(f"{ONE}/resume", responses=described(409))
def resume(campaign_id: CampaignId, key: Marketer, parts: Parts, now: Now) -> Campaign:
    """Go on where it was paused or failed."""
    return _take(campaign_id, Step.RESUME, key, parts, now)


@router.post(f"{ONE}/cancel", responses=described(409))
def cancel(campaign_id: CampaignId, key: Marketer, parts: Parts, now: Now) -> Campaign:
    """End it: what has not gone never goes."""
    _take(campaign_id, Step.CANCEL, key, parts, now)
    with parts.engine.begin() as connection:
        campaigns.skip_open(connection, key.organization_id, campaign_id, now)
        return campaigns.read(connection, key.organization_id, campaign_id)


@router.get(f"{ONE}/audience")
def audience(campaign_id: CampaignId, key: Viewer, parts: Parts, now: Now) -> Audience:
    """Who would get it if it were sent now, and for each gate how many it stops. Writes nothing."""
    with parts.engine.connect() as connection:
        return campaign_audience.count(connection, key.organization_id, campaign_id, now)


@router.get(f"{ONE}/preview")
def preview(
    campaign_id: CampaignId,
    key: Viewer,
    parts: Parts,
    now: Now,
    customer_id: Annotated[CustomerId | None, Query()] = None,
) -> Preview:
    """The mail as that customer would get it; without one, as somebody of whom nothing is known."""
    with parts.engine.connect() as connection:
        return campaign_previews.preview(connection, key.organization_id, campaign_id, customer_id, now)


@router.get(f"{ONE}/results")
def results(campaign_id: CampaignId, key: Viewer, parts: Parts) -> Results:
    """What it brought: sales that follow from it, and its lift against the holdout."""
    with parts.engine.connect() as connection:
        return campaign_results.of(connection, key.organization_id, campaign_id)


@router.post(f"{ONE}/test", status_code=202)
def send_test(
    campaign_id: CampaignId,
    wanted: TestRequest,
    *,
    key: Marketer,
    parts: Parts,
    now: Now,
    request_key: RequestKey = None,
) -> TestMails:
    """Send the mail to addresses of your own, marked as a test: through the mailer and its provider, past all gates but
    suppression, and not counted.
    """
    with parts.engine.begin() as connection:
        return campaign_previews.send_tests(connection, key, campaign_id, wanted, now=now, request_key=request_key)


@router.get(f"{ONE}/tests")
def last_tests(campaign_id: CampaignId, key: Viewer, parts: Parts) -> TestMails:
    """The last test mails, and what became of them."""
    with parts.engine.connect() as connection:
        return campaign_previews.last_tests(connection, key.organization_id, campaign_id)


@router.get(f"{ONE}/messages")
def messages(
    campaign_id: CampaignId,
    *,
    key: Viewer,
    parts: Parts,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[str | None, Query(max_length=20, description="Such as skipped.")] = None,
    reason: Annotated[str | None, Query(max_length=40, description="Such as no_consent.")] = None,
) -> Page[Decision]:
    """Each mail with its state and why, by customer."""
    of = {name: value for name, value in (("state", state), ("reason", reason)) if value is not None}
    with parts.engine.connect() as connection:
        campaigns.read(connection, key.organization_id, campaign_id)
        return decisions.of_campaign(connection, key.organization_id, campaign_id, limit, cursor, **of)


def _take(campaign_id: str, step: Step, key: Marketer, parts: Parts, now: Now) -> Campaign:
    with parts.engine.begin() as connection:
        return campaigns.take(connection, key, campaign_id, step, now=now)

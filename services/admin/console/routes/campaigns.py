"""Campaigns: the list, the page of one, who would get it, what it brought, and the steps of its life."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Connection

from services.admin import campaign_audience, campaign_previews, campaign_results, campaigns, memberships
from services.admin.access import Admin, Now, Parts
from services.admin.attributions import DAYS
from services.admin.campaign_life import EDITABLE, Step, possible
from services.admin.campaign_models import Campaign
from services.admin.console import campaign_words, forms, pages
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Form, Marketer, Posted, Viewer, Visit
from services.admin.paging import Cursor
from shared.errors import RegularsError
from shared.problems import of as problem_of

PAGE: Final = 50
SOON: Final = timedelta(minutes=1)
MANY: Final = 100_000  # mails, of which counting takes a while
DONE: Final = {
    Step.ACTIVATE: "It is active: it follows what happens from here on.",
    Step.PAUSE: "It is paused. What has not gone waits.",
    Step.RESUME: "It goes on.",
    Step.CANCEL: "It is cancelled.",
}
router = APIRouter(prefix=f"{HOME}/campaigns", route_class=PageRoute, include_in_schema=False)
CampaignId = Annotated[str, Path(min_length=1, max_length=128)]


@router.get("")
def entries(request: Request, visit: Viewer, parts: Parts, cursor: Cursor = None) -> Response:
    """All of them."""
    with parts.engine.connect() as connection:
        found = campaigns.page(connection, visit.organization_id, PAGE, cursor)
        names = names_of_segments(connection, visit.organization_id)
    return pages.show(request, visit, "campaigns", found=found, cursor=cursor, names=names, words_of=campaign_words)


@router.get("/{campaign_id}")
def read(request: Request, visit: Viewer, parts: Parts, now: Now, campaign_id: CampaignId) -> Response:
    """One: how it stands, what it says, what can be done with it."""
    return page(request, visit, parts, campaign_id, now)


@router.get("/{campaign_id}/standing")
def standing(
    request: Request, visit: Viewer, parts: Parts, *, now: Now, campaign_id: CampaignId, was: str = ""
) -> Response:
    """That part of its page which changes while it sends."""
    with parts.engine.connect() as connection:
        found = campaigns.read(connection, visit.organization_id, campaign_id)
    answer = pages.show(request, visit, "campaign_standing", **_standing(found, now))
    if was and was != found.state:
        answer.headers["HX-Refresh"] = "true"  # other steps are possible now
    return answer


@router.get("/{campaign_id}/audience")
def audience(request: Request, visit: Viewer, parts: Parts, now: Now, campaign_id: CampaignId) -> Response:
    """Who would get it now, who not and why."""
    with parts.engine.connect() as connection:
        found = campaigns.read(connection, visit.organization_id, campaign_id)
        counts = campaign_audience.count(connection, visit.organization_id, campaign_id, now)
    return pages.show(request, visit, "campaign_audience", campaign=found, counts=counts, words_of=campaign_words)


@router.get("/{campaign_id}/results")
def results(request: Request, visit: Viewer, parts: Parts, campaign_id: CampaignId) -> Response:
    """What it brought: a part that comes by itself, because it looks at each recipient's sales."""
    with parts.engine.connect() as connection:
        found = campaign_results.of(connection, visit.organization_id, campaign_id)
    return pages.show(request, visit, "campaign_results", found=found, days=DAYS)


@router.post("/{campaign_id}/send")
def send(
    request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, campaign_id: CampaignId
) -> Response:
    """Send it, now or at an instant."""
    try:
        at = None
        if "at" in form:
            at = forms.instant(form["at"], visit.organization.time_zone, "at")
            if at is None:
                raise forms.RefusedError({"at": "is missing: choose a day and a time"})
            if at < now:  # as the API says it, but for who has a button for now
                raise forms.RefusedError({"at": "lies in the past: choose a later time, or send it now"})
        with parts.engine.begin() as connection:
            campaigns.take(connection, visit.key, campaign_id, Step.SEND, now=now, at=at)
    except (RegularsError, RequestValidationError) as error:
        return page(request, visit, parts, campaign_id, now, refused=error, form=form)
    return pages.see(f"/campaigns/{campaign_id}", "It is being sent." if at is None else "It is scheduled.")


@router.post("/{campaign_id}/delete")
def remove(
    request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, campaign_id: CampaignId
) -> Response:
    """Delete one that never planned a mail."""
    try:
        with parts.engine.begin() as connection:
            campaigns.remove(connection, visit.key, campaign_id)
    except RegularsError as error:
        return page(request, visit, parts, campaign_id, now, refused=error, form=form)
    return pages.see("/campaigns", "The campaign is deleted.")


@router.post("/{campaign_id}/take/{step}")
def take(
    request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, campaign_id: CampaignId, step: Step
) -> Response:
    """Another step of its life."""
    try:
        with parts.engine.begin() as connection:
            campaigns.take(connection, visit.key, campaign_id, step, now=now)
    except (RegularsError, RequestValidationError) as error:
        return page(request, visit, parts, campaign_id, now, refused=error, form=form)
    if step is Step.CANCEL:
        with parts.engine.begin() as connection:
            campaigns.skip_open(connection, visit.organization_id, campaign_id, now)
    return pages.see(f"/campaigns/{campaign_id}", DONE.get(step, ""))


def page(
    request: Request,
    visit: Visit,
    parts: Admin,
    campaign_id: str,
    now: datetime,
    *,
    refused: RegularsError | RequestValidationError | None = None,
    form: Form | None = None,
) -> Response:
    """Its page, with what was refused. Raises NotFoundError."""
    with parts.engine.connect() as connection:
        found = campaigns.read(connection, visit.organization_id, campaign_id)
        tests = campaign_previews.last_tests(connection, visit.organization_id, campaign_id, most=10)
        names = names_of_segments(connection, visit.organization_id)
    status = 200
    if refused is not None:
        status = problem_of(refused).status if isinstance(refused, RegularsError) else 422
        status = 422 if status == 500 else status  # noqa: PLR2004 - a form's refusal is of no kind that the API knows
    return pages.show(
        request,
        visit,
        "campaign",
        status,
        names=names,
        tests=tests.items,
        errors=Errors() if refused is None else forms.errors_of(refused),
        given=Form() if form is None else form,
        **_standing(found, now),
    )


def names_of_segments(connection: Connection, organization_id: str) -> dict[str, str]:
    """By id, in the order of their names."""
    found = memberships.labels(connection, organization_id).items()
    return {each: label.name for each, label in sorted(found, key=lambda item: item[1].name.lower())}


def _standing(found: Campaign, now: datetime) -> dict[str, Any]:
    """How it stands, which steps it can take, and every how many seconds the page asks again (None: never)."""
    counts = found.counts
    under_way = found.state == "sending" or (
        found.state == "scheduled" and found.send_at is not None and found.send_at - now < SOON
    )
    goes = not counts.total or counts.planned
    period = (2 if counts.total < MANY else 10) if goes else 30
    return {
        "campaign": found,
        "steps": possible(found.state, automatic=found.trigger is not None),
        "editable": found.state in EDITABLE,
        "removable": found.state in {"draft", "cancelled"} and not counts.total,
        "period": period if under_way else None,
        "words_of": campaign_words,
    }

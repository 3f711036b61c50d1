"""The mails of a campaign: each with its decision, the mail as it looks, and tests of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from services.admin import campaign_previews, campaigns, decisions
from services.admin.access import Now, Parts
from services.admin.campaign_previews import TestRequest
from services.admin.console import campaign_words, forms, pages
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.routes.campaigns import PAGE, CampaignId, page
from services.admin.console.visit import Marketer, Posted, Viewer
from services.admin.paging import Cursor
from shared.domain.gates import Reason
from shared.errors import RegularsError

# A mail is a stranger's document: it runs nothing, sends nothing and knows nothing of who looks at it.
MAIL_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src https: http: data:; form-action 'none'; "
        "base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
    ),
}
router = APIRouter(prefix=f"{HOME}/campaigns", route_class=PageRoute, include_in_schema=False)
Filter = Annotated[str, Query(max_length=40)]


def framed(html: str) -> Response:
    """A mail as a page of its own, for a frame. Its links open elsewhere, as in a mail program."""
    return HTMLResponse(html.replace("<head>", '<head><base target="_blank">', 1), headers=MAIL_HEADERS)


@router.get("/{campaign_id}/mail")
def mail(visit: Viewer, parts: Parts, *, now: Now, campaign_id: CampaignId) -> Response:
    """As somebody gets it of whom nothing is known."""
    with parts.engine.connect() as connection:
        return framed(campaign_previews.preview(connection, visit.organization_id, campaign_id, None, now).html)


@router.get("/{campaign_id}/mails")
def mails(
    request: Request,
    visit: Viewer,
    parts: Parts,
    *,
    campaign_id: CampaignId,
    cursor: Cursor = None,
    state: Filter = "",
    reason: Filter = "",
) -> Response:
    """The decision log, narrowed by state and reason."""
    of = {name: value for name, value in (("state", state), ("reason", reason)) if value}
    with parts.engine.connect() as connection:
        found = campaigns.read(connection, visit.organization_id, campaign_id)
        listed = decisions.of_campaign(connection, visit.organization_id, campaign_id, PAGE, cursor, **of)
    states = [("", "any"), *((each, each) for each in campaign_words.STATES)]
    reasons = [("", "any"), *((str(each), campaign_words.why(each)) for each in Reason)]
    filters: dict[str, Any] = {"state": state, "reason": reason, "states": states, "reasons": reasons}
    return pages.show(request, visit, "campaign_mails", campaign=found, found=listed, cursor=cursor, **filters)


@router.get("/{campaign_id}/tests")
def last_tests(request: Request, visit: Viewer, parts: Parts, campaign_id: CampaignId) -> Response:
    """What became of the last test mails."""
    with parts.engine.connect() as connection:
        found = campaigns.read(connection, visit.organization_id, campaign_id)
        tests = campaign_previews.last_tests(connection, visit.organization_id, campaign_id, most=10).items
    return pages.show(request, visit, "campaign_tests", campaign=found, tests=tests, words_of=campaign_words)


@router.post("/{campaign_id}/tests")
def send_test(
    request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, campaign_id: CampaignId
) -> Response:
    """Send some."""
    given = {"to": forms.listed(form.get("to", "")), "as_customer": form.get("as_customer", "").strip() or None}
    try:
        wanted = forms.read(TestRequest, given)
        with parts.engine.begin() as connection:
            sent = campaign_previews.send_tests(connection, visit.key, campaign_id, wanted, now=now)
    except RegularsError as error:
        return page(request, visit, parts, campaign_id, now, refused=error, form=form)
    return pages.see(f"/campaigns/{campaign_id}", f"Test mails on their way: {len(sent.items)}.")

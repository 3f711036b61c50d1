"""The editor of campaigns: from a template, a copy or one that is there, with a live preview."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from services.admin import campaign_previews, campaigns, coupons
from services.admin.access import Admin, Now, Parts
from services.admin.campaign_life import EDITABLE
from services.admin.campaign_models import Campaign, Content
from services.admin.campaign_previews import Preview
from services.admin.console import campaign_form, campaign_words, coupon_words, forms, pages
from services.admin.console.campaign_form import Fields
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.routes.campaign_mails import framed
from services.admin.console.routes.campaigns import names_of_segments
from services.admin.console.visit import Form, Marketer, Posted, Visit
from services.admin.starting_campaigns import templates
from services.admin.starting_segments import Thresholds
from services.admin.versions import etag
from shared.domain.templating import VARIABLES
from shared.errors import ConflictError, NotFoundError, RegularsError
from shared.problems import Problem
from shared.problems import of as problem_of

CONTENT: Final = tuple(Content.model_fields)
OVERTAKEN: Final = 412
OFFERED: Final = 30  # coupons at once, beside the field that finds the others
# "-" is no campaign's id: none of these addresses can ever mean one.
router = APIRouter(prefix=f"{HOME}/campaigns/-", route_class=PageRoute, include_in_schema=False)
Named = Annotated[str, Query(max_length=128)]


@router.get("/new")
def choose(request: Request, visit: Marketer) -> Response:
    """What to begin with."""
    return pages.show(request, visit, "campaign_new", templates=_templates(visit), words_of=campaign_words)


@router.get("/coupons")
def offer(
    request: Request, visit: Marketer, parts: Parts, now: Now, coupon_code: Annotated[str, Query(max_length=256)] = ""
) -> Response:
    """Coupons whose code or name holds what is typed, for the field that chooses one."""
    text = coupon_code.strip().replace("\0", "")
    with parts.engine.connect() as connection:
        codes = coupons.offered(connection, visit.organization_id, text, OFFERED, now)
    return pages.show(request, visit, "coupon_options", codes=codes, coupon_words=coupon_words)


@router.get("/edit")
def edit(
    request: Request,
    visit: Marketer,
    parts: Parts,
    *,
    id: Named = "",  # noqa: A002 - the parameter's name in the address
    copy: Named = "",
    template: Named = "",
) -> Response:
    """One that is there (`id`), or a new one: like another (`copy`), from a `template`, or blank."""
    currency = visit.organization.currency
    found: Campaign | None = None
    if id or copy:
        with parts.engine.connect() as connection:
            found = campaigns.read(connection, visit.organization_id, id or copy)
        content = found.model_dump(mode="json", include=set(CONTENT))
        if id and found.state not in EDITABLE:
            raise ConflictError(f"A campaign that is {found.state} cannot be changed. Make a copy of it.")
        if copy:
            content["name"] = f"{found.name[:120]} (copy)"
    else:
        chosen = next((each.campaign for each in _templates(visit) if each.id == template), campaign_form.BLANK)
        content = Content.model_construct(**chosen).model_dump(mode="json", warnings=False)
    fields = campaign_form.fields_of(content, currency)
    return _editor(request, visit, parts, fields, found if id else None)


@router.post("/edit")
def save(request: Request, visit: Marketer, form: Posted, parts: Parts, *, now: Now, id: Named = "") -> Response:  # noqa: A002
    """Save it. What somebody else changed meanwhile is shown, and what was typed stays."""
    typed = campaign_form.typed_fields(form)
    try:
        wanted = _content(visit, typed)
        with parts.engine.begin() as connection:
            if id:
                _change(connection, visit, form, wanted, id, now=now)
            else:
                id = campaigns.create(connection, visit.key, wanted, now)  # noqa: A001
    except RegularsError as error:
        return _refused(request, visit, parts, typed, error=error, campaign_id=id)
    return pages.see(f"/campaigns/{id}", "Saved.")


@router.post("/preview")
def preview(request: Request, visit: Marketer, form: Posted, parts: Parts, now: Now) -> Response:
    """The mail of what is typed but not saved, without its HTML; or what is wrong with it."""
    shown, errors = None, Errors()
    if _is_written(form):
        try:
            shown = _preview(visit, form, parts, now)
        except RegularsError as error:
            errors = campaign_form.errors_of(error)
    return pages.show(request, visit, "campaign_preview", shown=shown, errors=errors)


@router.post("/mail")
def mail(visit: Marketer, form: Posted, parts: Parts, now: Now) -> Response:
    """Its HTML, for a frame. Raises InvalidError for what `preview` has told."""
    return framed(_preview(visit, form, parts, now).html)


def _is_written(form: Form) -> bool:
    return bool(form.get("subject", "").strip() and form.get("body", "").strip())


def _preview(visit: Visit, form: Form, parts: Admin, now: datetime) -> Preview:
    typed = campaign_form.typed_fields(form)
    typed["name"] = typed["name"] or "New"  # it stands in no mail
    wanted = _content(visit, typed)
    customer_id = form.get("as_customer", "").strip() or None
    with parts.engine.connect() as connection:
        try:
            return campaign_previews.preview_draft(connection, visit.organization_id, wanted, customer_id, now)
        except NotFoundError as error:
            raise forms.RefusedError({"as_customer": f"is not known: {error}".rstrip(".")}) from None


def _content(visit: Visit, typed: Fields) -> Content:
    return forms.read(Content, campaign_form.content_of(typed, visit.organization.currency))


def _change(
    connection: Connection, visit: Visit, form: Form, wanted: Content, campaign_id: str, *, now: datetime
) -> None:
    """Only what differs, so that the audit log names what was changed."""
    before = campaigns.read(connection, visit.organization_id, campaign_id).model_dump(mode="json")
    values = wanted.model_dump(mode="json")
    given = {name: values[name] for name in CONTENT if values[name] != before[name]}
    version = form.get("version", "")
    if_match = etag(int(version)) if version.isdecimal() else ""
    campaigns.change(connection, visit.key, campaign_id, given, now=now, if_match=if_match)


def _refused(
    request: Request, visit: Visit, parts: Admin, typed: Fields, *, error: RegularsError, campaign_id: str
) -> Response:
    found, theirs = None, {}
    if campaign_id:
        with parts.engine.connect() as connection:
            found = campaigns.read(connection, visit.organization_id, campaign_id)
    problem = problem_of(error)
    if found is not None and isinstance(error, Problem) and error.status == OVERTAKEN:
        stored = campaign_form.fields_of(found.model_dump(mode="json"), visit.organization.currency)
        theirs = {name: value for name, value in stored.items() if str(value) != str(typed[name])}
    status = problem.status if problem.status in {409, OVERTAKEN} else 422
    errors = campaign_form.errors_of(error)
    return _editor(request, visit, parts, typed, found, status=status, errors=errors, theirs=theirs)


def _editor(
    request: Request,
    visit: Visit,
    parts: Admin,
    fields: Fields,
    found: Campaign | None,
    *,
    status: int = 200,
    **more: Any,
) -> Response:
    with parts.engine.connect() as connection:
        segments = names_of_segments(connection, visit.organization_id)
        code = fields["coupon_code"]
        missing = code if code and not coupons.exists(connection, visit.organization_id, code) else ""
        codes = coupons.offered(connection, visit.organization_id, "", OFFERED, parts.clock())
    shown: dict[str, Any] = {"errors": Errors(), "theirs": {}} | more
    return pages.show(
        request,
        visit,
        "campaign_edit",
        status,
        campaign=found,
        given=fields,
        segments=segments,
        codes=codes,
        missing_coupon=missing,
        variables=VARIABLES,
        words_of=campaign_words,
        coupon_words=coupon_words,
        form_of=campaign_form,
        **shown,
    )


def _templates(visit: Visit) -> Any:
    return templates(Thresholds.of(visit.organization.currency))

"""Segments made and changed, with the count of who would be in before anything is saved."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from services.admin import memberships, segments
from services.admin.access import Admin, Now, Parts
from services.admin.console import conditions, forms, pages
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.routes.segments import ONE, SegmentId
from services.admin.console.visit import Marketer, Posted, Viewer, Visit
from services.admin.segment_models import NewSegment, Preview, PreviewOf, Segment, SegmentChange
from services.admin.versions import etag
from shared.domain.money import minor_units
from shared.errors import InvalidError, RegularsError

TEXTS: Final = ("name", "description", "color", "kind", "criteria")
FRESH: Final = {"name": "", "description": "", "color": "#4f7cac", "kind": "dynamic"}
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/new-segment")
def ask(request: Request, visit: Marketer, parts: Parts) -> Response:
    """The form for a new one."""
    return _form(request, visit, parts, None, given=FRESH | {"criteria": _written(conditions.START)})


@router.post("/new-segment")
def create(request: Request, visit: Marketer, form: Posted, parts: Parts, now: Now) -> Response:
    """Make a segment: dynamic, a list of those who meet conditions now, or an empty list."""
    given = forms.texts(form, TEXTS)
    if "count" in form:
        return _counted(request, visit, parts, None, given=given, now=now)
    try:
        values: dict[str, Any] = {name: given[name] for name in ("name", "description", "color")}
        if given["kind"] == "list":
            values |= {"kind": "static"}
        elif given["kind"] == "frozen":
            values |= {"kind": "static", "members_by": read_criteria(given["criteria"])}
        else:
            values |= {"criteria": read_criteria(given["criteria"])}
        wanted = forms.read(NewSegment, values)
        with parts.engine.begin() as connection:
            segment_id = segments.create(connection, visit.key, wanted, now)
    except RegularsError as error:
        return _form(request, visit, parts, None, status=422, given=given, errors=_errors_of(error))
    note = "Made. Add its first members." if given["kind"] == "list" else "Made. It is filled now."
    return pages.see(f"/segments/{segment_id}", note)


@router.get(f"{ONE}/edit")
def edit(request: Request, segment_id: SegmentId, visit: Marketer, parts: Parts) -> Response:
    """The form."""
    with parts.engine.connect() as connection:
        known = segments.read(connection, visit.organization_id, segment_id)
    given = {name: getattr(known, name) for name in ("name", "description", "color", "kind")}
    return _form(request, visit, parts, known, given=given | {"criteria": _written(known.criteria)})


@router.post(f"{ONE}/edit")
def save(request: Request, segment_id: SegmentId, *, visit: Marketer, form: Posted, parts: Parts, now: Now) -> Response:
    """Change a segment, unless somebody else did so since the form was shown."""
    given = forms.texts(form, TEXTS)
    with parts.engine.connect() as connection:
        known = segments.read(connection, visit.organization_id, segment_id)
    given["kind"] = known.kind
    if "count" in form:
        return _counted(request, visit, parts, known, given=given, now=now)
    try:
        values: dict[str, Any] = {name: given[name] for name in ("name", "description", "color")}
        if known.kind == "dynamic":
            values["criteria"] = read_criteria(given["criteria"])
        told = {name: value for name, value in values.items() if value != getattr(known, name)}
        wanted = forms.read(SegmentChange, told)
        with parts.engine.begin() as connection:
            segments.change(connection, visit.key, segment_id, wanted, now=now, if_match=form.get("version"))
    except RegularsError as error:
        return _form(request, visit, parts, known, status=422, given=given, errors=_errors_of(error))
    return pages.see(f"/segments/{segment_id}", "Saved. It is filled anew now." if "criteria" in told else "Saved.")


@router.post("/segment-preview")
def preview(request: Request, visit: Viewer, form: Posted, parts: Parts, now: Now) -> Response:
    """Who is meant by criteria now: the part of the form that follows what is typed."""
    found, errors = _preview(visit, parts, form.get("criteria", ""), now)
    return pages.show(request, visit, "segment_preview", 422 if errors else 200, preview=found, errors=errors)


def read_criteria(text: str) -> Any:
    """What the builder sent. Raises InvalidError."""
    if not text:
        raise InvalidError("are missing: say who is meant", "criteria")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"must be JSON: {error}", "criteria") from None


def _preview(visit: Visit, parts: Admin, text: str, now: datetime) -> tuple[Preview | None, Errors]:
    try:
        tree = forms.read(PreviewOf, {"criteria": read_criteria(text)}).criteria
        with parts.engine.connect() as connection:
            return segments.preview(connection, visit.organization_id, tree, now), Errors()
    except RegularsError as error:
        return None, _errors_of(error)


def _errors_of(error: RegularsError) -> Errors:
    """Criteria are called so, wherever they were given."""
    told = forms.errors_of(error).items()
    return Errors({field.replace("members_by", "criteria", 1): message for field, message in told})


def _counted(
    request: Request, visit: Visit, parts: Admin, known: Segment | None, *, given: dict[str, str], now: datetime
) -> Response:
    """The form again with the count, for browsers without JavaScript."""
    found, errors = _preview(visit, parts, given["criteria"], now)
    return _form(request, visit, parts, known, given=given, errors=errors, preview=found)


def _form(
    request: Request, visit: Visit, parts: Admin, known: Segment | None, *, status: int = 200, **more: Any
) -> Response:
    with parts.engine.connect() as connection:
        lists = memberships.labels(connection, visit.organization_id, "static")
    of = visit.organization
    offered = conditions.described(of.currency, minor_units(of.currency), of.time_zone, lists)
    shown = {"segment": known, "tag": etag(known.version) if known else "", "offered": offered}
    shown |= {"errors": Errors(), "preview": None}
    return pages.show(request, visit, "segment_form", status, **shown | more)


def _written(criteria: dict[str, Any] | None) -> str:
    return json.dumps(criteria, indent=2, ensure_ascii=False) if criteria is not None else ""

"""Customers from a CSV file: columns named, rows judged, then published in the background."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from services.admin import imports
from services.admin.access import Now, Parts
from services.admin.console import forms, pages
from services.admin.console.forms import Errors, RefusedError
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Files, Form, Marketer, Posted, chosen
from services.admin.customer_rows import FIELDS
from shared.errors import RegularsError

PLACE: Final = "/import-customers"
LARGEST: Final = 20_000_000  # judged in half a minute
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get(PLACE)
def ask(request: Request, visit: Marketer) -> Response:
    """The form."""
    return pages.show(request, visit, "import", **_shown())


@router.post(PLACE)
def take(request: Request, *, visit: Marketer, form: Posted, files: Files, parts: Parts, now: Now) -> Response:
    """Judge the file, or import it; first its columns get their meaning, by their names where nobody said it."""
    columns: list[tuple[str, str]] = []
    try:
        file = chosen(files)
        columns = _columns(imports.header(file.content), form)
        mapping = _mapping(columns)
        if form.get("do") == "import":
            return pages.see(f"{PLACE}/{parts.imports.start(visit.key, file.content, mapping, now)}")
        judged = imports.judge(file.content, visit.organization_id, mapping, now)
    except RegularsError as error:
        errors = forms.at_fields(forms.errors_of(error), {"columns", "file"})
        return pages.show(request, visit, "import", 422, **_shown(columns=columns, errors=errors))
    return pages.show(request, visit, "import", **_shown(columns=columns, judged=judged, name=file.name))


@router.get(f"{PLACE}/{{import_id}}")
def follow(request: Request, import_id: UUID, visit: Marketer, parts: Parts, now: Now) -> Response:
    """How far it is."""
    progress = parts.imports.progress(visit.organization_id, import_id, now)
    return pages.show(request, visit, "import_progress", progress=progress)


def _shown(**more: Any) -> dict[str, Any]:
    return {"columns": [], "fields": FIELDS, "errors": Errors(), "judged": None, "name": "", "largest": LARGEST} | more


def _columns(header: list[str], form: Form) -> list[tuple[str, str]]:
    """Each column with its field, "" where it is left out; what was said of a column before goes by its name."""
    said = dict(zip(form.getlist("column"), form.getlist("means"), strict=False))
    return [(name, said.get(name, name if name in FIELDS else "")) for name in header]


def _mapping(columns: list[tuple[str, str]]) -> list[str]:
    given = [field for _, field in columns if field]
    if not columns:
        raise RefusedError({"file": "has no first line with the names of its columns"})
    if "customer_id" not in given:
        raise RefusedError({"columns": "need one that is the customer's id: choose it"})
    if twice := {field.replace("_", " ") for field in given if given.count(field) > 1}:
        raise RefusedError({"columns": f"name {', '.join(sorted(twice))} more than once: choose one of them"})
    return [f"{field}={name}" for name, field in columns if field]

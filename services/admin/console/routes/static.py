"""Style sheets and scripts, kept by browsers until they change."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from services.admin.console.pages import HOME, STATIC, PageRoute
from shared.errors import NotFoundError

KINDS: Final = {"css": "text/css", "js": "text/javascript"}
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(HOME + "/static/{version}/{name}")
def static(version: str, name: str) -> Response:
    """One file."""
    del version
    kind = KINDS.get(name.rpartition(".")[2])
    if kind is None or not (wanted := STATIC / name).is_file() or wanted not in STATIC.iterdir():
        raise NotFoundError("There is no such file.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(wanted.read_bytes(), headers=headers, media_type=kind)

"""Forms of answer that several routes give."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

Described = dict[int | str, dict[str, Any]]
ACCEPTED: Described = {202: {"description": "Accepted; it will show within moments."}}
CSV: Described = {200: {"content": {"text/csv": {}}, "description": "UTF-8, a header line first."}}


def csv_answer(chunks: Iterator[bytes], name: str) -> StreamingResponse:
    """A download. The first chunk is read before the answer starts, so that an error can still be told."""
    first = next(chunks)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chain([first], chunks), media_type="text/csv; charset=utf-8", headers=headers)


def table_answer(text: str, name: str) -> Response:
    """A small table as a download."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, headers=headers, media_type="text/csv; charset=utf-8")

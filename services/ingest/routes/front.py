"""GET /: what this is, for whoever finds it."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()


@router.get("/", include_in_schema=False)
async def front() -> dict[str, str]:
    """Say what this is and where to read on."""
    return {"service": "regulars ingest", "publish": "/v1/events", "docs": "/docs", "openapi": "/openapi.json"}

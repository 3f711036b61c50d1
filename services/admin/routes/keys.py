"""GET, POST, DELETE /keys."""

from __future__ import annotations

from fastapi import APIRouter

from services.admin import api_keys, idempotency
from services.admin.access import Now, Owner, Parts, RequestKey
from services.admin.api_keys import ApiKey, CreatedApiKey, NewApiKey
from services.admin.paging import MOST, Cursor, Limit, Page
from shared.errors import ConflictError
from shared.problems import described

router = APIRouter(tags=["organization"])


@router.get("/keys")
def entries(key: Owner, parts: Parts, limit: Limit = MOST, cursor: Cursor = None) -> Page[ApiKey]:
    """Keys, oldest first, revoked ones included; without their secrets."""
    with parts.engine.connect() as connection:
        return api_keys.page(connection, key.organization_id, limit, cursor)


@router.post("/keys", status_code=201, responses=described(409))
def create(wanted: NewApiKey, key: Owner, parts: Parts, request_key: RequestKey = None) -> CreatedApiKey:
    """Make a key. Its secret is in this answer and nowhere else, so the same request again gives 409."""
    made: CreatedApiKey | None = None

    def make() -> str:
        nonlocal made
        made = api_keys.create(connection, key, wanted)
        return made.key_id

    with parts.engine.begin() as connection:
        key_id = idempotency.once(connection, key, request_key, wanted, make)
    if made is None:
        raise ConflictError(f"This request made the key {key_id!r} before. Revoke it if its secret was lost.")
    return made


@router.delete("/keys/{key_id}", status_code=204, responses=described(409))
def revoke(key_id: str, key: Owner, parts: Parts, now: Now) -> None:
    """End a key; it stops within two seconds."""
    with parts.engine.begin() as connection:
        api_keys.revoke(connection, key, key_id, now)

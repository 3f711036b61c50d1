"""API keys as owners see them: made, listed, revoked, each noted in the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from services.admin import audit, organizations
from services.admin.instants import Instant
from services.admin.organizations import Line
from services.admin.paging import Page, cut, read_cursor
from shared.errors import ConflictError, NotFoundError
from shared.keys import Key, Role, StoredKey, create_key, list_keys, revoke_key


class NewApiKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    role: Role = Field(description="What it may do: publish, read, change, or manage.")
    name: Annotated[Line, Field(description="Where it is used, such as a store.")] = ""


class ApiKey(BaseModel):
    """A key; its secret is not kept."""

    key_id: str
    role: Role
    name: str
    created_at: Instant
    revoked_at: Instant | None


class CreatedApiKey(ApiKey):
    """A key at the only moment at which its secret is known."""

    secret: str = Field(description="Shown only now; give it as `Authorization: Bearer …`.")


def keys(connection: Connection, organization_id: str) -> list[ApiKey]:
    """All, oldest first, revoked ones included."""
    return [_shown(stored) for stored in list_keys(connection, organization_id)]


def page(connection: Connection, organization_id: str, limit: int, cursor: str | None) -> Page[ApiKey]:
    """The same in pages. They are few, so all are read."""
    found = keys(connection, organization_id)
    if cursor is not None:
        last = read_cursor(cursor, datetime, str)
        found = [each for each in found if (each.created_at, each.key_id) > last]
    return cut(found[: limit + 1], limit, lambda each: (each.created_at, each.key_id))


def create(connection: Connection, key: Key, wanted: NewApiKey) -> CreatedApiKey:
    """Make a key of the caller's organization."""
    made, secret = create_key(connection, key.organization_id, wanted.role, wanted.name)
    audit.record(connection, key, "key.created", f"key:{made.key_id}", role=wanted.role)
    return CreatedApiKey(**_find(connection, key.organization_id, made.key_id).model_dump(), secret=secret)


def revoke(connection: Connection, key: Key, key_id: str, now: datetime) -> None:
    """End a key. Raises NotFoundError, and ConflictError for the last owner's: nobody could make another."""
    # One at a time, or two owners could revoke each other's last key.
    organizations.lock(connection, key.organization_id)
    wanted = _find(connection, key.organization_id, key_id)
    if wanted.revoked_at is not None:
        return
    others = [
        other
        for other in keys(connection, key.organization_id)
        if other.role == "owner" and other.revoked_at is None and other.key_id != key_id
    ]
    if wanted.role == "owner" and not others:
        raise ConflictError("This is the last owner's key. Create another owner's key first, then revoke this one.")
    revoke_key(connection, key.organization_id, key_id, now)
    audit.record(connection, key, "key.revoked", f"key:{key_id}")


def _find(connection: Connection, organization_id: str, key_id: str) -> ApiKey:
    found = next((each for each in keys(connection, organization_id) if each.key_id == key_id), None)
    if found is None:
        raise NotFoundError(f"There is no key {key_id!r}.")
    return found


def _shown(stored: StoredKey) -> ApiKey:
    return ApiKey.model_validate(stored._asdict())

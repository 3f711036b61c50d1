"""What `regulars keys` does."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection

from services.admin import audit
from services.admin.instants import written
from services.admin.transactions import transaction
from shared.clock import utc_now
from shared.keys import Role, create_key, list_keys, revoke_key


def create(database_url: str, organization_id: str, role: str, name: str) -> dict[str, str]:
    """The new key with its secret. Raises InvalidError (role) and NotFoundError."""
    with transaction(database_url) as connection:
        made, secret = create_key(connection, organization_id, cast("Role", role), name)  # judges the role
        _note(connection, organization_id, "key.created", made.key_id, role=role)
        return {"key_id": made.key_id, "role": made.role, "name": name, "secret": secret}


def entries(database_url: str, organization_id: str) -> list[dict[str, Any]]:
    """All keys, oldest first, without secrets."""
    with transaction(database_url) as connection:
        return [
            stored._asdict()
            | {
                "created_at": written(stored.created_at),
                "revoked_at": None if stored.revoked_at is None else written(stored.revoked_at),
            }
            for stored in list_keys(connection, organization_id)
        ]


def revoke(database_url: str, organization_id: str, key_id: str) -> None:
    """Raises NotFoundError. The last owner's key too: who may run commands can make another."""
    with transaction(database_url) as connection:
        revoke_key(connection, organization_id, key_id, utc_now())
        _note(connection, organization_id, "key.revoked", key_id)


def _note(connection: Connection, organization_id: str, action: str, key_id: str, **detail: str) -> None:
    audit.note(connection, organization_id, audit.COMMAND_LINE, action, f"key:{key_id}", **detail)

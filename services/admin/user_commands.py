"""What `regulars users` does."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from services.admin import audit, users
from services.admin.transactions import transaction
from services.admin.users import NewUser
from shared.errors import InvalidError
from shared.refusals import said


def create(database_url: str, organization_id: str, email: str, role: str, name: str = "") -> dict[str, str]:
    """The new user with their first password. Raises InvalidError, NotFoundError and ConflictError."""
    try:
        wanted = NewUser.model_validate({"email": email, "role": role, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(said(first), str(first["loc"][0])) from None
    with transaction(database_url) as connection:
        password = users.create(connection, organization_id, wanted, audit.COMMAND_LINE)
    return {"email": wanted.email.lower(), "role": wanted.role, "password": password}


def entries(database_url: str, organization_id: str) -> list[dict[str, Any]]:
    """All users, by address."""
    with transaction(database_url) as connection:
        return [user.model_dump(mode="json") for user in users.users(connection, organization_id)]


def remove(database_url: str, organization_id: str, email: str) -> None:
    """Raises NotFoundError. The last owner too: who may run commands can make another."""
    with transaction(database_url) as connection:
        users.remove(connection, organization_id, email, audit.COMMAND_LINE)

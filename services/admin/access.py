"""Who calls, and how far their key reaches."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine

from services.admin.customer_edits import CustomerEdits
from services.admin.imports import Imports
from services.admin.lifetime_values import Learnt
from shared.clock import Clock
from shared.errors import ForbiddenError
from shared.keys import Key, Keyring, Role
from shared.problems import unauthorized

REACH: dict[Role, int] = {"terminal": 0, "viewer": 1, "marketer": 2, "owner": 3}
DOES = {"viewer": "read", "marketer": "change customers, segments and campaigns", "owner": "manage the organization"}
_bearer = HTTPBearer(auto_error=False, description="An API key of role viewer, marketer or owner.")


@dataclass(frozen=True, slots=True)
class Admin:
    """What the routes work with."""

    engine: Engine
    keyring: Keyring
    edits: CustomerEdits
    imports: Imports
    clock: Clock
    learnt: Learnt = field(default_factory=Learnt)


def admin(request: Request) -> Admin:
    """What `create_app` put together."""
    return cast("Admin", request.app.state.admin)


Parts = Annotated[Admin, Depends(admin)]


def caller(parts: Parts, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Key:
    """The key of the request; 401 without a good one."""
    if credentials is None:
        raise unauthorized("Give an API key as `Authorization: Bearer rg.…`; `regulars keys create` makes one.")
    key = parts.keyring.authenticate(credentials.credentials)
    if key is None:
        raise unauthorized("This API key is not known, or was revoked.")
    return key


class AtLeast:
    """A dependency that lets keys of a role and of all above it pass."""

    def __init__(self, role: Role) -> None:
        self.role: Role = role

    def __call__(self, key: Annotated[Key, Depends(caller)]) -> Key:
        """The key itself. Raises ForbiddenError."""
        if REACH[key.role] < REACH[self.role]:
            raise ForbiddenError(
                "This is a terminal's key, which only publishes events. Use one of role viewer, marketer or owner."
                if key.role == "terminal"
                else f"Only a key of role {self.role} or above may {DOES[self.role]}; this is a {key.role}'s."
            )
        return key


Viewer = Annotated[Key, Depends(AtLeast("viewer"))]
Marketer = Annotated[Key, Depends(AtLeast("marketer"))]
Owner = Annotated[Key, Depends(AtLeast("owner"))]

RequestKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Your own name for this request: sent again with the same one, it is done once.",
    ),
]
IfMatch = Annotated[str | None, Header(description="The ETag that was read; 412 if it changed meanwhile.")]


def now(parts: Parts) -> datetime:
    """The instant that the whole request goes by."""
    return parts.clock()


Now = Annotated[datetime, Depends(now)]

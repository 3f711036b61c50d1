"""Users of the console: made, listed, removed, each noted in the audit log; and whether a password is theirs."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from services.admin import audit, organizations
from services.admin.instants import Instant
from services.admin.organizations import Line
from shared.database.tables import console_session, console_user
from shared.domain.event_fields import Email
from shared.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, TransientError
from shared.keys import Key

ConsoleRole = Literal["viewer", "marketer", "owner"]

# OWASP's second choice of parameters: 19 MiB a check, so that a service of 200 MB stays one.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODYS: Final = _HASHER.hash(secrets.token_urlsafe())  # so that an unknown address takes as long as a known one
_CHECKS: Final = threading.BoundedSemaphore(2)
LONGEST_WAIT = 2.0  # seconds
FREE_TRIES: Final = 5
FIRST_LOCK: Final = timedelta(minutes=1)
LONGEST_LOCK: Final = timedelta(hours=1)
SHORTEST: Final = 12
LONGEST: Final = 256


class NewUser(BaseModel):
    """A user to be made."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    role: ConsoleRole
    name: Annotated[Line, Field(description="As the list of users shows it.")] = ""


class User(BaseModel):
    """A user; their password is not kept."""

    email: str
    name: str
    role: ConsoleRole
    locked_until: Instant | None
    created_at: Instant


def users(connection: Connection, organization_id: str) -> list[User]:
    """All, by address."""
    wanted = select(console_user).where(console_user.c.organization_id == organization_id)
    rows = connection.execute(wanted.order_by(console_user.c.email)).mappings()
    return [User.model_validate(dict(row)) for row in rows]


def create(connection: Connection, organization_id: str, wanted: NewUser, actor: str, password: str = "") -> str:
    """The password: the one given, else one drawn at random, which is known only now.

    Raises NotFoundError (organization), InvalidError (password) and ConflictError (the address has a user).
    """
    organizations.read(connection, organization_id)
    email = wanted.email.lower()
    if connection.execute(select(console_user.c.email).where(_is(organization_id, email))).first() is not None:
        raise ConflictError(f"{email} is a user already. Remove them first, or choose another address.")
    chosen = _sound(password) if password else secrets.token_urlsafe(12)
    connection.execute(
        insert(console_user).values(
            organization_id=organization_id,
            email=email,
            name=wanted.name,
            role=wanted.role,
            password_hash=_HASHER.hash(chosen),
        )
    )
    audit.note(connection, organization_id, actor, "user.created", f"user:{email}", role=wanted.role)
    return chosen


def remove(connection: Connection, organization_id: str, email: str, actor: str) -> None:
    """End a user and their sessions. Raises NotFoundError."""
    gone = connection.execute(delete(console_user).where(_is(organization_id, email.lower())))
    if gone.rowcount == 0:
        raise NotFoundError(f"There is no user {email!r}.")
    _sign_out(connection, organization_id, email.lower())
    audit.note(connection, organization_id, actor, "user.removed", f"user:{email.lower()}")


def change_password(connection: Connection, key: Key, old: str, new: str, now: datetime) -> None:
    """A user's own. All their sessions end. Raises InvalidError and ForbiddenError."""
    if authenticate(connection, key.organization_id, key.key_id, old, now) is None:
        raise InvalidError("is not your present password", "old_password")
    changed = {"password_hash": _HASHER.hash(_sound(new, "new_password"))}
    connection.execute(update(console_user).where(_is(key.organization_id, key.key_id)).values(changed))
    _sign_out(connection, key.organization_id, key.key_id)
    audit.record(connection, key, "user.password_changed", key.actor)


def authenticate(
    connection: Connection, organization_id: str, email: str, password: str, now: datetime
) -> ConsoleRole | None:
    """The user's role, if the password is theirs; the caller commits either way.

    Raises ForbiddenError while the user is locked: for a minute after five wrong passwords, then twice as long each.
    """
    whose = _is(organization_id, email.lower())
    row = connection.execute(select(console_user).where(whose).with_for_update()).first()
    if row is not None and row.locked_until is not None and now < row.locked_until:
        minutes = max(1, round((row.locked_until - now) / timedelta(minutes=1)))
        raise ForbiddenError(f"Too many wrong passwords. Try again in {minutes} min, or ask an owner.")
    if not _is_password(_NOBODYS if row is None else row.password_hash, password):
        if row is not None:
            failures = row.failures + 1
            lock = (
                min(FIRST_LOCK * 2 ** min(failures - FREE_TRIES, 10), LONGEST_LOCK) if failures >= FREE_TRIES else None
            )
            values = {"failures": failures, "locked_until": now + lock if lock else None}
            connection.execute(update(console_user).where(whose).values(values))
        return None
    if row is None:
        return None
    if row.failures:
        connection.execute(update(console_user).where(whose).values(failures=0, locked_until=None))
    role: ConsoleRole = row.role
    return role


def _is_password(stored: str, given: str) -> bool:
    """Two checks at a time: who tries thousands must not take the service's memory, nor the threads of all others."""
    if not _CHECKS.acquire(timeout=LONGEST_WAIT):
        raise TransientError("Too many people sign in at this moment. Try again.", 5)
    try:
        return _HASHER.verify(stored, given)
    except (VerifyMismatchError, InvalidHashError):
        return False
    finally:
        _CHECKS.release()


def _sound(password: str, field: str = "password") -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidError(f"must have {SHORTEST} to {LONGEST} characters; a few words make a good one", field)
    return password


def _is(organization_id: str, email: str) -> ColumnElement[bool]:
    return (console_user.c.organization_id == organization_id) & (console_user.c.email == email)


def _sign_out(connection: Connection, organization_id: str, email: str) -> None:
    connection.execute(
        delete(console_session).where(
            console_session.c.organization_id == organization_id, console_session.c.email == email
        )
    )

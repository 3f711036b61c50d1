"""Sessions of the console: a random token in a cookie, of which only the hash is stored.

The cookie names the organization, so that looking it up leads with it. A form carries a second value derived from the
token: who can make a browser send the cookie cannot know it.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from shared.database.tables import console_session, console_user
from shared.keys import Key, hash_of

COOKIE: Final = "regulars_session"
IDLE: Final = timedelta(hours=12)
NOTED: Final = timedelta(minutes=5)  # a session in use is written down so often
LONGEST: Final = 256


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in. `key` is what the admin API's services go by."""

    key: Key
    name: str
    form_token: str


def begin(connection: Connection, organization_id: str, email: str, now: datetime) -> str:
    """The cookie's value. Sessions that nobody used for long are cleared."""
    token = secrets.token_urlsafe(32)
    own = console_session.c.organization_id == organization_id
    connection.execute(delete(console_session).where(own, console_session.c.seen_at < now - IDLE))
    values = {"organization_id": organization_id, "email": email, "token_hash": hash_of(token), "seen_at": now}
    connection.execute(insert(console_session).values(values))
    return f"{organization_id}.{token}"


def find(connection: Connection, cookie: str, now: datetime) -> Session | None:
    """Whose session it is; None when it is nobody's, or was not used for twelve hours."""
    organization_id, _, token = cookie.partition(".")
    if not token or len(cookie) > LONGEST or "\0" in cookie:
        return None
    its_row = _is(organization_id, token)
    same = and_(
        console_user.c.organization_id == console_session.c.organization_id,
        console_user.c.email == console_session.c.email,
    )
    wanted = (
        select(console_user.c.email, console_user.c.name, console_user.c.role, console_session.c.seen_at)
        .select_from(console_session.join(console_user, same))
        .where(its_row, console_session.c.seen_at >= now - IDLE)
    )
    row = connection.execute(wanted).first()
    if row is None:
        return None
    if now - row.seen_at > NOTED:
        connection.execute(update(console_session).where(its_row).values(seen_at=now))
    return Session(Key(organization_id, row.email, row.role, "user"), row.name or row.email, _form_token(token))


def end(connection: Connection, cookie: str) -> None:
    """Sign out."""
    organization_id, _, token = cookie.partition(".")
    connection.execute(delete(console_session).where(_is(organization_id, token)))


def is_form_of(session: Session, given: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(session.form_token.encode(), given.encode())


def _form_token(token: str) -> str:
    return sha256(f"form {token}".encode()).hexdigest()


def _is(organization_id: str, token: str) -> ColumnElement[bool]:
    return and_(console_session.c.organization_id == organization_id, console_session.c.token_hash == hash_of(token))

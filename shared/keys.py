"""API keys: minted, stored as a hash, looked up on every request.

A secret reads `rg.<organization_id>.<key_id>.<43 random characters>`: it names its organization, so that the look-up
can lead with organization_id. The random part is 256 bits, which nobody can guess or try. A slow password hash, there
to make up for low entropy, would only cost time: SHA-256 it is.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, NamedTuple, get_args

from sqlalchemy import Connection, insert, select, update

from shared.database.away import AWAY
from shared.database.engine import engine
from shared.database.tables import api_key, organization
from shared.errors import InvalidError, NotFoundError, TransientError
from shared.wording import shown

Role = Literal["terminal", "viewer", "marketer", "owner"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

FRESH_SECONDS = 2.0  # for so long a revoked key may still work
GRACE_SECONDS = 60.0  # for so long a key that was good keeps working while the database is away
RETRY_SECONDS = 1.0  # between tries while the database is away
MOST_REMEMBERED = 10_000
LONGEST_TOKEN = 256


@dataclass(frozen=True, slots=True)
class Key:
    """Who is calling, and what they may do: the holder of an API key, or a user of the console by their address."""

    organization_id: str
    key_id: str
    role: Role
    kind: Literal["key", "user"] = "key"

    @property
    def actor(self) -> str:
        """As the audit log names them."""
        return f"{self.kind}:{self.key_id}"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment at which its secret is known."""

    key_id: str
    secret: str
    secret_hash: bytes


class StoredKey(NamedTuple):
    """A key as lists show it."""

    key_id: str
    role: Role
    name: str
    created_at: datetime
    revoked_at: datetime | None


def mint(organization_id: str, role: Role) -> NewKey:
    """Make a key; nothing is stored. Raises InvalidError for a role that does not exist."""
    if role not in ROLES:
        raise InvalidError(f"must be one of {', '.join(ROLES)}; got {shown(role)}", "role")
    key_id = secrets.token_hex(6)
    secret = f"rg.{organization_id}.{key_id}.{secrets.token_urlsafe(32)}"
    return NewKey(key_id, secret, hash_of(secret))


def hash_of(secret: str) -> bytes:
    """What is stored of a secret."""
    return sha256(secret.encode()).digest()


def create_key(connection: Connection, organization_id: str, role: Role, name: str = "") -> tuple[Key, str]:
    """Store a new key; the secret is in the answer and nowhere else. Raises InvalidError, NotFoundError."""
    new = mint(organization_id, role)
    known = select(organization.c.organization_id).where(organization.c.organization_id == organization_id)
    if connection.execute(known).first() is None:
        raise NotFoundError(f"There is no organization {organization_id!r}. Create it first.")
    connection.execute(
        insert(api_key).values(
            organization_id=organization_id,
            key_id=new.key_id,
            role=role,
            name=name,
            secret_hash=new.secret_hash,
        )
    )
    return Key(organization_id, new.key_id, role), new.secret


def list_keys(connection: Connection, organization_id: str) -> list[StoredKey]:
    """All keys of an organization, oldest first, revoked ones included."""
    columns = (api_key.c.key_id, api_key.c.role, api_key.c.name, api_key.c.created_at, api_key.c.revoked_at)
    wanted = (
        select(*columns)
        .where(api_key.c.organization_id == organization_id)
        .order_by(api_key.c.created_at, api_key.c.key_id)
    )
    return [StoredKey(*row) for row in connection.execute(wanted)]


def revoke_key(connection: Connection, organization_id: str, key_id: str, now: datetime) -> None:
    """End a key; ending it again changes nothing. Raises NotFoundError."""
    its_row = (api_key.c.organization_id == organization_id) & (api_key.c.key_id == key_id)
    if connection.execute(select(api_key.c.key_id).where(its_row)).first() is None:
        raise NotFoundError(f"There is no key {key_id!r} in organization {organization_id!r}.")
    connection.execute(update(api_key).where(its_row, api_key.c.revoked_at.is_(None)).values(revoked_at=now))


class Keyring:
    """Tells whose a token is. Safe to use from many threads.

    Answers are remembered for two seconds. While the database is away, a key that was good within the last minute stays
    good, so that tills can publish as long as Kafka is up.
    """

    def __init__(self, database_url: str) -> None:
        self._engine = engine(database_url, pool_size=1, max_overflow=0)
        self._remembered: OrderedDict[bytes, tuple[Key | None, float]] = OrderedDict()
        self._looking_up = threading.Lock()
        self._away_until = 0.0

    def known(self, token: str) -> Key | None:
        """The key of a token if it can be told without I/O, for an event loop; else ask `authenticate` in a thread."""
        key, checked_at = self._remembered.get(hash_of(token), (None, 0.0))
        now = time.monotonic()
        return key if now < checked_at + (GRACE_SECONDS if now < self._away_until else FRESH_SECONDS) else None

    def authenticate(self, token: str) -> Key | None:
        """The key of a token; None when there is none, or when it was revoked.

        Raises TransientError when the database is away and the token was not good within the last minute.
        """
        named = _named_in(token)
        if named is None:
            return None
        digest = hash_of(token)
        # Once the database is known to be away, nobody waits for the one who looks whether it is back.
        held = self._looking_up.acquire(blocking=not self._away_until)
        try:
            key, checked_at = self._remembered.get(digest, (None, float("-inf")))
            if time.monotonic() < checked_at + FRESH_SECONDS:
                return key
            if not held or time.monotonic() < self._away_until:
                return self._graced(digest)
            try:
                key = self._look_up(*named, digest)
            except AWAY:
                self._away_until = time.monotonic() + RETRY_SECONDS
                return self._graced(digest)
            self._away_until = 0.0
            self._remember(digest, key)
            return key
        finally:
            if held:
                self._looking_up.release()

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def _look_up(self, organization_id: str, key_id: str, digest: bytes) -> Key | None:
        wanted = select(api_key.c.role, api_key.c.secret_hash).where(
            api_key.c.organization_id == organization_id, api_key.c.key_id == key_id, api_key.c.revoked_at.is_(None)
        )
        with self._engine.connect() as connection:
            row = connection.execute(wanted).first()
        if row is None or not hmac.compare_digest(row.secret_hash, digest):
            return None
        return Key(organization_id, key_id, row.role)

    def _remember(self, digest: bytes, key: Key | None) -> None:
        self._remembered[digest] = (key, time.monotonic())
        self._remembered.move_to_end(digest)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _graced(self, digest: bytes) -> Key | None:
        key, checked_at = self._remembered.get(digest, (None, float("-inf")))
        if key is None or time.monotonic() > checked_at + GRACE_SECONDS:
            raise TransientError("The key cannot be checked now, because the database is away. Try again.", 2.0)
        return key


def _named_in(token: str) -> tuple[str, str] | None:
    """The organization and key id that a token names; None when it is no token of ours."""
    if len(token) > LONGEST_TOKEN or not token.isascii() or "\0" in token:
        return None
    match token.split("."):
        case ["rg", organization_id, key_id, secret] if organization_id and key_id and secret:
            return organization_id, key_id
        case _:
            return None

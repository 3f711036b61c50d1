from __future__ import annotations

import threading
import time
from typing import Any, Self

import pytest
from sqlalchemy.exc import OperationalError

from shared import keys
from shared.errors import InvalidError, TransientError
from shared.keys import FRESH_SECONDS, GRACE_SECONDS, ROLES, Key, Keyring, hash_of, mint

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


class Ring(Keyring):
    """A keyring whose database is a dictionary that can be away."""

    def __init__(self) -> None:
        super().__init__(NOWHERE)
        self.stored: dict[bytes, Key] = {}
        self.away = False
        self.look_ups = 0

    def _look_up(self, _organization_id: str, _key_id: str, digest: bytes) -> Key | None:
        self.look_ups += 1
        if self.away:
            raise OperationalError("", {}, Exception("away"))
        return self.stored.get(digest)

    def add(self) -> tuple[str, Key]:
        new = mint("demo", "terminal")
        key = Key("demo", new.key_id, "terminal")
        self.stored[new.secret_hash] = key
        return new.secret, key


@pytest.fixture
def ring() -> Ring:
    return Ring()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the keyring's clock."""

    class Clock:
        now = time.monotonic()

        def pass_by(self, seconds: float) -> None:
            self.now += seconds

    moved = Clock()
    monkeypatch.setattr(keys.time, "monotonic", lambda: moved.now)
    return moved


def test_a_secret_names_its_organization_and_is_never_the_same() -> None:
    first, second = mint("demo", "owner"), mint("demo", "owner")
    prefix, organization_id, key_id, random = first.secret.split(".")
    assert (prefix, organization_id, key_id, len(random)) == ("rg", "demo", first.key_id, 43)
    assert first.secret_hash == hash_of(first.secret)
    assert first.secret != second.secret
    assert first.key_id != second.key_id


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidError, match="terminal, viewer, marketer, owner"):
        mint("demo", "admin")  # type: ignore[arg-type]
    assert ROLES == ("terminal", "viewer", "marketer", "owner")


def test_a_key_is_looked_up_once_in_two_seconds(ring: Ring, clock: Any) -> None:
    secret, key = ring.add()
    assert ring.known(secret) is None
    assert [ring.authenticate(secret) for _ in range(3)] == [key] * 3
    assert ring.known(secret) == key
    assert ring.look_ups == 1
    clock.pass_by(FRESH_SECONDS)
    assert ring.known(secret) is None
    assert ring.authenticate(secret) == key
    assert ring.look_ups == 2


def test_a_revoked_key_stops_when_it_is_no_longer_fresh(ring: Ring, clock: Any) -> None:
    secret, _ = ring.add()
    ring.authenticate(secret)
    ring.stored.clear()
    clock.pass_by(FRESH_SECONDS)
    assert ring.authenticate(secret) is None
    assert ring.known(secret) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "rg",
        "rg.demo.k",
        "xx.demo.k.s",
        "rg..k.s",
        "rg.demo..s",
        "rg.demo.k.",
        "rg.demo.k.s.t",
        "rg.d\0.k.s",
        "é" * 9,
    ],
)
def test_what_does_not_look_like_a_secret_is_nobodys_and_not_looked_up(ring: Ring, token: str) -> None:
    assert ring.authenticate(token) is None
    assert ring.authenticate("rg.demo.k." + "x" * 300) is None
    assert ring.look_ups == 0


def test_a_wrong_secret_of_a_real_key_is_nobodys() -> None:
    class Row:
        role = "terminal"
        secret_hash = hash_of("rg.demo.k.right")

    class Connection:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def execute(self, _: object) -> Any:
            return self

        def first(self) -> Row:
            return Row()

    ring = Keyring(NOWHERE)
    ring._engine = type("Engine", (), {"connect": staticmethod(Connection)})()
    assert ring.authenticate("rg.demo.k.wrong") is None
    assert ring.authenticate("rg.demo.k.right") == Key("demo", "k", "terminal")


def test_a_good_key_outlives_a_short_outage_of_the_database_and_a_new_one_has_to_wait(ring: Ring, clock: Any) -> None:
    secret, key = ring.add()
    ring.authenticate(secret)
    ring.away = True
    clock.pass_by(GRACE_SECONDS - 1)
    assert ring.authenticate(secret) == key
    assert ring.known(secret) == key, "while the database is known to be away, no thread is needed"
    with pytest.raises(TransientError):
        ring.authenticate(ring.add()[0])
    clock.pass_by(2)
    with pytest.raises(TransientError):
        ring.authenticate(secret)
    ring.away = False
    clock.pass_by(2)
    assert ring.authenticate(secret) == key


def test_a_key_known_as_bad_has_no_grace(ring: Ring, clock: Any) -> None:
    secret, _ = ring.add()
    ring.stored.clear()
    assert ring.authenticate(secret) is None
    ring.away = True
    clock.pass_by(3)
    with pytest.raises(TransientError):
        ring.authenticate(secret)


def test_an_absent_database_is_tried_once_a_second_whoever_asks(ring: Ring, clock: Any) -> None:
    secret, key = ring.add()
    ring.authenticate(secret)
    ring.away = True
    clock.pass_by(3)
    assert [ring.authenticate(secret) for _ in range(5)] == [key] * 5
    assert ring.look_ups == 2
    clock.pass_by(1)
    ring.authenticate(secret)
    assert ring.look_ups == 3


def test_nobody_waits_for_the_one_who_looks_whether_the_database_is_back(ring: Ring, clock: Any) -> None:
    secret, key = ring.add()
    ring.authenticate(secret)
    ring.away = True
    clock.pass_by(3)
    ring.authenticate(secret)
    clock.pass_by(2)
    began, may_end = threading.Event(), threading.Event()

    def hanging(*_: object) -> Key | None:
        began.set()
        may_end.wait(10)
        raise OperationalError("", {}, Exception("away"))

    ring._look_up = hanging  # type: ignore[method-assign]
    looking = threading.Thread(target=ring.authenticate, args=(secret,))
    looking.start()
    assert began.wait(10)
    assert ring.authenticate(secret) == key
    may_end.set()
    looking.join(10)


def test_it_remembers_only_so_many(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_REMEMBERED", 10)
    for number in range(50):
        ring.authenticate(f"rg.demo.k{number}.x")
    assert len(ring._remembered) == 10

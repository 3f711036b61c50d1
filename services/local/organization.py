"""The organization `demo`, which every one-machine installation has, its keys, and its owner at the console."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex

from services.admin import organizations, user_commands
from services.admin.transactions import transaction
from services.local.demo import organization as grocer
from services.local.directory import DataDirectory
from services.local.plan import ORGANIZATION
from shared.errors import ConflictError
from shared.keys import Role, create_key

OWNER = "owner@example.com"
ROLES: tuple[Role, ...] = ("terminal", "owner")


def ensure(database: str, directory: DataDirectory, *, empty: bool, demo: bool) -> None:
    """Create it unless it is there, for the demo as the grocer of its data set.

    The database knows only hashes of its keys and of its owner's password, so these are kept in `directory`.
    """
    _ensure_keys(database, directory, empty=empty, demo=demo)
    secrets = directory.secrets()
    if not secrets.console:
        directory.keep(replace(secrets, console=_owner(database)))


def _ensure_keys(database: str, directory: DataDirectory, *, empty: bool, demo: bool) -> None:
    secrets = directory.secrets()
    try:
        keys = _grocer(database) if demo else _shop(database, empty=empty)
    except ConflictError:
        if secrets.keys:
            return
        # A crash between creating it and keeping its keys, or a database that another installation has filled.
        keys = _further_keys(database)
    directory.keep(replace(secrets, keys=keys))


def _shop(database: str, *, empty: bool) -> dict[str, str]:
    return organizations.create(
        database, ORGANIZATION, name="Demo", currency="INR", time_zone="Asia/Kolkata", ready_made=not empty
    )


def _grocer(database: str) -> dict[str, str]:
    return organizations.create(
        database,
        ORGANIZATION,
        name=grocer.NAME,
        currency=grocer.CURRENCY,
        time_zone=grocer.TIME_ZONE,
        thresholds=grocer.THRESHOLDS,
        sender_name=grocer.NAME,
        sender_email=grocer.SENDER_EMAIL,
        postal_address=grocer.POSTAL_ADDRESS,
    )


def _owner(database: str) -> dict[str, str]:
    try:
        made = user_commands.create(database, ORGANIZATION, OWNER, "owner", "Owner")
    except ConflictError:  # as above
        another = OWNER.replace("@", f"-{token_hex(3)}@")
        made = user_commands.create(database, ORGANIZATION, another, "owner", "Owner")
    return {name: made[name] for name in ("email", "password")}


def _further_keys(database: str) -> dict[str, str]:
    with transaction(database) as connection:
        return {role: create_key(connection, ORGANIZATION, role, "one machine")[1] for role in ROLES}

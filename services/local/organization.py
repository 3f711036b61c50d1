"""The organization `demo`, which every one-machine installation has, and its keys."""

from __future__ import annotations

from dataclasses import replace

from services.admin import organizations
from services.local.demo import organization as grocer
from services.local.directory import DataDirectory
from services.local.plan import ORGANIZATION
from shared.database.engine import engine
from shared.errors import ConflictError
from shared.keys import Role, create_key

ROLES: tuple[Role, ...] = ("terminal", "owner")


def ensure(database: str, directory: DataDirectory, *, empty: bool, demo: bool) -> None:
    """Create it unless it is there, for the demo as the grocer of its data set.

    The database knows only its keys' hashes, so the keys are kept in `directory`.
    """
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


def _further_keys(database: str) -> dict[str, str]:
    store = engine(database, pool_size=1)
    try:
        with store.begin() as connection:
            return {role: create_key(connection, ORGANIZATION, role, "one machine")[1] for role in ROLES}
    finally:
        store.dispose()

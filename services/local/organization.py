"""The organization `demo`, which every one-machine installation has, and its keys."""

from __future__ import annotations

from dataclasses import replace

from services.admin import organizations
from services.local.directory import DataDirectory
from services.local.plan import ORGANIZATION
from shared.database.engine import engine
from shared.errors import ConflictError
from shared.keys import create_key

ROLES = ("terminal", "owner")


def ensure(database: str, directory: DataDirectory, *, empty: bool) -> None:
    """Create it unless it is there. The database knows only its keys' hashes, so the keys are kept in `directory`."""
    secrets = directory.secrets()
    try:
        keys = organizations.create(
            database, ORGANIZATION, name="Demo", currency="INR", time_zone="Asia/Kolkata", ready_made=not empty
        )
    except ConflictError:
        if secrets.keys:
            return
        # A crash between creating it and keeping its keys, or a database that another installation has filled.
        keys = _further_keys(database)
    directory.keep(replace(secrets, keys=keys))


def _further_keys(database: str) -> dict[str, str]:
    store = engine(database, pool_size=1)
    try:
        with store.begin() as connection:
            return {role: create_key(connection, ORGANIZATION, role, "one machine")[1] for role in ROLES}
    finally:
        store.dispose()

"""Brings a database's schema to the newest revision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import OperationalError

from shared.database.engine import engine
from shared.errors import TransientError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 7_301_944_120  # two migrating processes wait for each other


def upgrade(url: str, revision: str = "head") -> None:
    """Run all revisions that the database lacks. Safe to call by several processes at once."""
    with _connection(url) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        command.upgrade(_config(connection), revision)
        connection.commit()


def is_current(url: str) -> bool:
    """Whether the database stands at the newest revision."""
    with _connection(url) as connection:
        present = MigrationContext.configure(connection).get_current_heads()
        return set(present) == set(ScriptDirectory.from_config(_config(connection)).get_heads())


def _connection(url: str) -> Any:
    try:
        return engine(url, poolclass=NullPool).connect()  # leaves no connection behind: databases are cloned from it
    except OperationalError as error:
        why = str(error.orig).splitlines()[0]
        raise TransientError(f"The database cannot be reached: {why}. Is REGULARS_DATABASE right?") from error


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config

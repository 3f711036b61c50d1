"""Connections: SQLAlchemy engines for queries, plain psycopg for the hot path and for LISTEN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import ClauseElement, Connection, Engine, Executable, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.engine import make_url

KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


def engine(url: str, **options: Any) -> Engine:
    """An engine on psycopg 3 that notices a connection lost while idle."""
    return create_engine(driver_url(url), pool_pre_ping=True, connect_args=KEEPALIVE, **options)


class BinaryCursor(psycopg.Cursor[Any]):
    """Asks for results in PostgreSQL's own form: instants and numbers are not written out and read again."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.format = psycopg.pq.Format.BINARY


def hot_engine(url: str, **options: Any) -> Engine:
    """An engine for statements that bring many rows."""
    arguments = {**KEEPALIVE, "cursor_factory": BinaryCursor}
    return create_engine(driver_url(url), pool_pre_ping=True, connect_args=arguments, **options)


def connect(url: str, **options: Any) -> psycopg.Connection[Any]:
    """A plain psycopg connection."""
    return psycopg.connect(plain_url(url), **{**KEEPALIVE, **options})


def driver_url(url: str) -> str:
    """The URL as SQLAlchemy wants it."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def plain_url(url: str) -> str:
    """The URL as libpq wants it."""
    text = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    before, mark, query = text.partition("?")
    return before + mark + query.replace("+", "%20")  # SQLAlchemy writes a space as forms do, libpq does not read it so


def rows(
    connection: Connection, statement: Executable, given: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """What a statement brings, as the driver's own rows: SQLAlchemy's take twice as long to make and to read."""
    cursor = connection.execute(statement, given).cursor
    return list(cursor.fetchall()) if cursor is not None else []


def sql(statement: ClauseElement) -> str:
    """The text of a statement, its constants written in: for statements that are parts of a named one."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return str(compiled).replace("%%", "%")


def statement(query: ClauseElement) -> tuple[str, dict[str, Any]]:
    """The text of a query for psycopg, and its parameters."""
    dialect = psycopg_dialect.dialect()  # type: ignore[no-untyped-call]
    compiled = query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return str(compiled), dict(compiled.params)

"""Kinds of column that all tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

# Ids compare byte by byte: the same order in PostgreSQL, in Python and in NumPy, whatever the machine's locale.
Id = Text(collation="C")
Instant = DateTime(timezone=True)


def organization_key() -> Column[str]:
    """The first column of every primary key."""
    return Column("organization_id", Id, primary_key=True)


def required(name: str, kind: Any, **options: Any) -> Column[Any]:
    """A column that is never null."""
    return Column(name, kind, nullable=False, **options)

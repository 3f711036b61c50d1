"""What `regulars import suppressions` does: addresses in, refused rows told one by one."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console
from sqlalchemy import Engine

from services.admin import audit, organizations, suppressions
from shared.clock import utc_now
from shared.database.engine import engine
from shared.database.suppressions import Suppressed, suppress
from shared.errors import InvalidError, NotFoundError
from shared.wording import counted


def run(database: str, organization_id: str, file: Path, column: str, *, dry_run: bool) -> bool:
    """Whether every row was good. The good ones are suppressed, unless `dry_run`, also where others are refused.

    Raises InvalidError (the file) and NotFoundError (the organization).
    """
    if not organizations.exists(database, organization_id):
        raise NotFoundError(f"There is no organization {organization_id!r}. Make it: regulars organization create.")
    store = engine(database, pool_size=1)
    try:
        with file.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
            good, refused = _import(store, organization_id, text, column, utc_now(), dry_run=dry_run)
    except UnicodeDecodeError as error:
        raise InvalidError(f"must be UTF-8: {error.reason}", "FILE") from None
    finally:
        store.dispose()
    done = "would be suppressed" if dry_run else "suppressed"
    Console().print(
        f"{counted(good, 'address', 'addresses')} {done}, {counted(refused, 'row')} refused", highlight=False
    )
    return refused == 0


def _import(
    store: Engine, organization_id: str, text: TextIO, column: str, now: datetime, *, dry_run: bool
) -> tuple[int, int]:
    good: list[Suppressed] = []
    refused = 0
    errors = Console(stderr=True)
    for line, outcome in suppressions.read(text, now, column):
        if isinstance(outcome, InvalidError):
            refused += 1
            errors.print(f"row {line}: {outcome}", markup=False, highlight=False, soft_wrap=True)
        else:
            good.append(outcome)
    if not dry_run:
        with store.begin() as connection:
            added = sum(suppress(connection, organization_id, part) for part in suppressions.parts(good))
            told = {"addresses": added, "refused": refused}
            audit.note(connection, organization_id, audit.COMMAND_LINE, "suppression.imported", "suppression", **told)
    return len(good), refused

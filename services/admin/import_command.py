"""What `regulars import customers` does: rows in, events out, refused rows told one by one."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.admin import audit, organizations
from services.admin.customer_import import Acknowledged, outcomes
from services.admin.transactions import transaction
from shared.clock import utc_now
from shared.errors import InvalidError, NotFoundError
from shared.settings import Settings
from shared.wording import counted


def run(settings: Settings, organization_id: str, file: Path, mapping: list[str], *, dry_run: bool) -> bool:
    """Whether every row was good. The good ones are published, unless `dry_run`, also where others are refused.

    Raises InvalidError (the file or the mapping), NotFoundError (the organization) and TransientError (Kafka).
    """
    if not organizations.exists(settings.database, organization_id):
        raise NotFoundError(f"There is no organization {organization_id!r}. Make it: regulars organization create.")
    topic = None if dry_run else Acknowledged(settings)
    good = refused = 0
    try:
        with (
            file.open("rb") as raw,
            io.TextIOWrapper(raw, "utf-8-sig", newline="") as text,
            _progress() as progress,
        ):
            task = progress.add_task("Customers", total=file.stat().st_size)
            for number, outcome in outcomes(text, organization_id, mapping, utc_now()):
                if isinstance(outcome, InvalidError):
                    refused += 1
                    progress.console.print(f"row {number}: {outcome}", markup=False, highlight=False, soft_wrap=True)
                    continue
                good += 1
                if topic is not None:
                    topic.send(outcome)
                progress.update(task, completed=raw.tell(), description=counted(good, "customer"))
        if topic is not None:
            topic.wait()
            with transaction(settings.database) as connection:
                told = {"customers": good, "refused": refused}
                audit.note(connection, organization_id, audit.COMMAND_LINE, "customers.imported", "customers", **told)
    finally:
        if topic is not None:
            topic.close()
    done = "would be published" if dry_run else "published"
    Console().print(f"{counted(good, 'customer')} {done}, {counted(refused, 'row')} refused", highlight=False)
    return refused == 0


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )

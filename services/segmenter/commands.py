"""Commands of the segmenter: verify, dead-letters."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from services.installation import DataDir, adopt
from shared.domain.reasons import Reason as Known
from shared.wording import counted

app = typer.Typer()
letters = typer.Typer(
    help="Records that could not be counted: why, what they hold, and once more into the stream.", no_args_is_help=True
)
app.add_typer(letters, name="dead-letters")

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
SHOWN = 20


def _reason(text: str | None) -> str | None:
    if text is not None and text not in set(Known):
        raise typer.BadParameter(f"{text!r} is no reason; there are {', '.join(Known)}")
    return text


Reason = Annotated[
    str | None,
    typer.Option("--reason", callback=_reason, help="Only those with this reason, such as invalid_field."),
]


@app.command()
def verify(
    organization: Annotated[str | None, typer.Option("--organization", help="Only this one; without it, all.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Recompute stats and memberships from the ledger and compare with what the stream kept; exit 0 only at none.

    Example: regulars verify --json
    """
    from rich.console import Console
    from rich.progress import Progress

    from services.segmenter.verify import verify as check

    settings = _settings(data_dir)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Recomputing from the ledger")

        def tell(name: str, done: int, parts: int) -> None:
            bar.update(task, description=f"Recomputing {name}", completed=done, total=parts)

        report = check(settings.database, organization, tell)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        typer.echo(
            f"{counted(report.customers_checked, 'customer')}, {counted(report.memberships_checked, 'membership')} and "
            f"{counted(report.redemptions_checked, 'redemption')} checked: "
            f"{counted(len(report.differences), 'difference')}"
        )
        for each in report.differences[:SHOWN]:
            who = f"{each.organization_id}/{each.customer_id}"
            typer.echo(f"  {who} {each.about}: {each.expected} expected, {each.found} found")
        if len(report.differences) > SHOWN:
            typer.echo(f"  ... and {len(report.differences) - SHOWN:,} more: --json shows all")
    raise typer.Exit(1 if report.differences else 0)


@letters.command("list")
def list_letters(
    reason: Reason = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100_000,
    every: Annotated[bool, typer.Option("--all", help="Those too that were replayed.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List them, oldest first, with the reason of each.

    Example: regulars dead-letters list --reason wrong_currency
    """
    from services.segmenter import replay

    settings = _settings(data_dir)
    which = replay.chosen(reason, None, replayed=every)
    number = replay.counts(settings, which)
    if as_json:
        items = [letter.as_json() for letter in replay.read(settings, which, limit)]
        typer.echo(json.dumps({"count": sum(number.values()), "reasons": number, "items": items}))
        return
    for letter in replay.read(settings, which, min(limit, SHOWN)):
        typer.echo(f"{letter.place}  {letter.reason}  {letter.message}")
    total = sum(number.values())
    if total > SHOWN:
        typer.echo(f"... and {total - SHOWN:,} more: --json shows all")
    by_reason = ", ".join(f"{count:,} {name}" for name, count in number.items())
    typer.echo(counted(total, "dead letter") + (f": {by_reason}" if by_reason else ""))


@letters.command()
def show(
    place: Annotated[
        str | None, typer.Argument(help="topic/partition/offset, as list shows it; without it, the oldest one.")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one, with what it holds: that at a place, else the oldest (with that reason) that was not replayed.

    Example: regulars dead-letters show pos.sales.v1/3/1042
    """
    from services.segmenter import replay

    which = replay.chosen(reason, _place(place) if place else None, replayed=place is not None)
    found = replay.read(_settings(data_dir), which, 1)
    if not found:
        at = f" at {place}" if place else ""
        typer.echo(f"There is no such dead letter{at}; `regulars dead-letters list --all` shows the places.", err=True)
        raise typer.Exit(1)
    known = found[0].as_json()
    if as_json:
        typer.echo(json.dumps(known))
        return
    typer.echo(f"{'place':12} {found[0].place}")
    for name in ("reason", "message", "recorded_at", "replayed_at", "key"):
        if known[name] is not None:
            typer.echo(f"{name:12} {known[name]}")
    typer.echo(known["value"])


@letters.command("replay")
def replay_letters(
    reason: Reason = None,
    at: Annotated[str | None, typer.Option("--at", help="Only this one: topic/partition/offset.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Publish them again to the topic they came from, once what was wrong is mended; an event still counts once.

    Example: regulars dead-letters replay --reason unknown_organization
    """
    from rich.console import Console
    from rich.progress import Progress

    from services.segmenter import replay

    settings = _settings(data_dir)
    which = replay.chosen(reason, _place(at) if at else None)
    total = sum(replay.counts(settings, which).values())
    if at and not total:
        typer.echo(f"Nothing is to be replayed at {at}; `regulars dead-letters list --all` shows all places.", err=True)
        raise typer.Exit(1)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("Replaying", total=total)
        done = replay.replay(settings, which, lambda number: bar.advance(task, number))
    typer.echo(json.dumps({"replayed": done}) if as_json else f"{done:,} published again")


def _place(text: str) -> str:
    parts = text.rsplit("/", 2)
    if len(parts) != 3 or not parts[1].isdigit() or not parts[2].isdigit():  # noqa: PLR2004 - topic, partition, offset
        raise typer.BadParameter(f"{text!r} is no place; it reads topic/partition/offset, such as pos.sales.v1/3/1042")
    return text


def _settings(data_dir: Any) -> Any:
    from shared.settings import Settings, load

    adopt(data_dir)
    return load(Settings)

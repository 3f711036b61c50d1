"""What happened, in numbers, where to look, and what to try next: fits 80 columns, with or without a terminal."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from services.installation import Installation, chosen
from services.local.demo.figures import Figures, Mails
from services.local.demo.organization import NAME
from shared.domain.money import format_money
from shared.wording import counted


@dataclass(frozen=True)
class Summary:
    """All that is told. `segments` are names with their member counts."""

    currency: str
    figures: Figures
    dead_letters: int
    segments: list[tuple[str, int]]
    mails: list[Mails]


def show(summary: Summary, installation: Installation, console: Console) -> None:
    """Print it."""
    now = summary.figures
    hint = "`regulars dead-letters list` tells why" if summary.dead_letters else ""
    _section(
        console,
        f"{NAME} after a year",
        [
            ("customers", f"{now.customers:,}"),
            ("sales", f"{now.sales:,}", f"{counted(now.redemptions, 'coupon')} redeemed"),
            ("revenue", format_money(now.revenue, summary.currency)),
            (
                "dead letters",
                f"{summary.dead_letters:,}",
                hint,
            ),
        ],
    )
    _section(console, "Segments", [(name, f"{members:,}") for name, members in summary.segments])
    _section(console, "Mails", _mail_lines(summary.mails))
    _section(console, "Open", _addresses(installation), numbers=False)
    _show_commands(installation, console)


def live_line(now: Figures, before: Figures, seconds: float, mails: tuple[int, int], currency: str) -> str:
    """One line about the tills; `mails` are those sent and those opened."""
    pace = (now.sales - before.sales) / max(seconds, 1e-3)
    return (
        f"{pace:.1f} sales/s, {counted(now.customers, 'customer')}, "
        f"{format_money(now.revenue, currency)} in all, {counted(mails[0], 'mail')}, {mails[1]:,} opened"
    )


def _section(console: Console, title: str, rows: list[tuple[str, ...]], *, numbers: bool = True) -> None:
    if not rows:
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for index in range(max(len(row) for row in rows)):
        table.add_column(justify="right" if numbers and index == 1 else "left", style="dim" if index > 1 else None)
    for name, *rest in rows:
        table.add_row(f"  {name}", *rest)
    console.print(f"\n[bold]{title}[/]")
    console.print(table)


def _show_commands(installation: Installation, console: Console) -> None:
    """What to paste next. Never broken into lines, however long the directory's name."""
    usual = chosen(None) == installation.data_dir
    where = "" if usual else f" --data-dir {shlex.quote(str(installation.data_dir))}"
    commands = {
        f"regulars status{where}": "what runs where, and the keys",
        f"regulars verify{where}": "recompute all from the ledger",
        f"regulars down{where}": "stop it; the data stays",
    }
    width = max(len(command) for command in commands)
    console.print("\n[bold]Try next[/]")
    for command, meaning in commands.items():
        console.print(f"  {command:<{width}}  # {meaning}", markup=False, soft_wrap=True)


def _mail_lines(mails: list[Mails]) -> list[tuple[str, ...]]:
    """Per campaign: what went out and lies in the inbox, then what waits or stays away and why."""
    return [
        (
            "" if above is not None and above.campaign == one.campaign else one.campaign,
            f"{one.count:,}",
            _fate(one),
        )
        for above, one in zip([None, *mails], mails, strict=False)
    ]


def _fate(one: Mails) -> str:
    if one.reason:
        return f"{one.state}: {one.reason.replace('_', ' ')}"
    if one.delivered:
        return f"{one.state}: {one.delivered:,} delivered, {one.opened:,} opened, {one.clicked:,} clicked"
    return one.state


def _addresses(installation: Installation) -> list[tuple[str, ...]]:
    endpoints = installation.endpoints
    return [
        *_console(installation.console),
        ("inbox", endpoints["sandbox"]),
        ("admin API", f"{endpoints['admin']}/docs"),
        ("till API", f"{endpoints['ingest']}/docs"),
        *((f"metrics, {name}", address) for name, address in installation.metrics.items()),
    ]


def _console(told: dict[str, str]) -> list[tuple[str, ...]]:
    return [("console", told["url"]), ("", f"{told['email']}, password {told['password']}")] if told else []

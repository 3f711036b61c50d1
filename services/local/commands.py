"""`regulars up`, `status`, `down`, `publish`: an installation on one machine."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from services import installation
from services.installation import DataDir

app = typer.Typer()


@app.command(epilog="Example: regulars up --detach && regulars status")
def up(
    *,
    data_dir: DataDir = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="No ready-made segments, templates and coupons for the organization demo.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is ready and leave it running.")] = False,
    ingest_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Terminals publish here; 0 takes a free port.")
    ] = 8010,
    admin_port: Annotated[int, typer.Option(min=0, max=65535, help="API and console; 0 takes a free port.")] = 8020,
    sandbox_port: Annotated[int, typer.Option(min=0, max=65535, help="The mail's inbox; 0 takes a free port.")] = 8030,
    kafka: Annotated[str, typer.Option(metavar="local|HOST:PORT", help="Our own Kafka, or one that runs.")] = "local",
    database: Annotated[
        str, typer.Option(metavar="local|URL", help="Our own PostgreSQL, or one that runs (postgresql://...).")
    ] = "local",
) -> None:
    """Run everything on this machine, supervised: what dies is started again.

    Kafka, PostgreSQL and a Java runtime come along; nothing but Python has to be installed. Data, keys and logs stay in
    the data directory, whatever is killed. Ctrl-C or `regulars down` stops it in order.
    """
    from services.local import background
    from services.local.plan import Options
    from services.local.supervisor import Supervisor

    options = Options(
        installation.chosen(data_dir), empty, ingest_port, admin_port, sandbox_port, kafka=kafka, database=database
    )
    if detach:
        code = background.start(options, _say)
        if code:
            raise typer.Exit(code)
        _show_status(data_dir, as_json=False)
        return
    supervisor = Supervisor(options, _say)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: supervisor.stop())
    supervisor.run()


@app.command(epilog="Example: regulars status --json | jq -r .keys.terminal")
def status(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell endpoints, keys, processes and readiness; the exit code is 0 only when all is ready."""
    if not _show_status(data_dir, as_json=as_json):
        raise typer.Exit(1)


@app.command(epilog="Example: regulars down --data-dir /srv/regulars")
def down(data_dir: DataDir = None) -> None:
    """Stop it, losing nothing: services first, then Kafka, then the database."""
    from services.local import background

    background.stop(installation.require(data_dir), _say)


@app.command(hidden=True)
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535)],
) -> None:
    """The mail sandbox, as `regulars up` starts it."""
    from services.local.sandbox.main import run
    from shared.settings import IngestSettings, load

    settings = load(IngestSettings)
    run(
        settings.host,
        port,
        Path.cwd() / "sandbox",
        f"{settings.public_url}/webhooks/resend",
        settings.webhook_secret.get_secret_value(),
    )


def _show_status(data_dir: Path | None, *, as_json: bool) -> bool:
    from rich.console import Console

    from services.local import status as reading

    content = reading.read(installation.require(data_dir))
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        reading.show(content, Console())
    return bool(content["ready"])


def _say(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()

"""`regulars up`, `status`, `down`, `publish`: an installation on one machine."""

from __future__ import annotations

import json
import logging
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services import installation
from services.installation import DataDir
from shared.errors import SetupError

app = typer.Typer()

IngestPort = Annotated[int, typer.Option(min=0, max=65535, help="Terminals publish here; 0 takes a free port.")]
AdminPort = Annotated[int, typer.Option(min=0, max=65535, help="API and console; 0 takes a free port.")]
SandboxPort = Annotated[int, typer.Option(min=0, max=65535, help="The mail's inbox; 0 takes a free port.")]
KafkaAddress = Annotated[str, typer.Option(metavar="local|HOST:PORT", help="Our own Kafka, or one that runs.")]
DatabaseUrl = Annotated[
    str, typer.Option(metavar="local|URL", help="Our own PostgreSQL, or one that runs (postgresql://...).")
]


class Way(StrEnum):
    """How events get in."""

    KAFKA = "kafka"
    HTTP = "http"


@app.command(epilog="Example: regulars up --detach && regulars status")
def up(
    *,
    data_dir: DataDir = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="No ready-made segments, templates and coupons for the organization demo.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is ready and leave it running.")] = False,
    ingest_port: IngestPort = 8010,
    admin_port: AdminPort = 8020,
    sandbox_port: SandboxPort = 8030,
    kafka: KafkaAddress = "local",
    database: DatabaseUrl = "local",
    demo: Annotated[bool, typer.Option("--demo", hidden=True, help="As `regulars demo` starts it.")] = False,
    readers: Annotated[bool, typer.Option("--readers/--no-readers", hidden=True, help="The demo's.")] = True,
) -> None:
    """Run everything on this machine, supervised: what dies is started again.

    Kafka, PostgreSQL and a Java runtime come along; nothing but Python has to be installed. Data, keys and logs stay in
    the data directory, whatever is killed. Ctrl-C or `regulars down` stops it in order.
    """
    from services.local import background
    from services.local.plan import Options
    from services.local.supervisor import Supervisor

    _quieten()
    options = Options(
        installation.chosen(data_dir), empty, ingest_port, admin_port, sandbox_port, kafka, database, demo, readers
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


@app.command(epilog="Example: regulars demo --detach && regulars verify")
def demo(
    *,
    data_dir: DataDir = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when the year is in and its mails are out; leave it running.")
    ] = False,
    ingest_port: IngestPort = 8010,
    admin_port: AdminPort = 8020,
    sandbox_port: SandboxPort = 8030,
    kafka: KafkaAddress = "local",
    database: DatabaseUrl = "local",
    readers: Annotated[
        bool, typer.Option("--readers/--no-readers", help="Simulated people who open and click the shop's mail.")
    ] = True,
) -> None:
    """See it work: `up`, a year of real purchases through Kafka, segments, mails, then tills that sell live.

    2,469 households, 155,848 baskets. Ctrl-C stops everything; the data stays, and the next demo goes on from there.
    """
    from services.local.demo.run import run
    from services.local.plan import Options

    folder = installation.chosen(data_dir)
    run(
        Options(folder, False, ingest_port, admin_port, sandbox_port, kafka, database, demo=True, readers=readers),
        detach=detach,
    )


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


@app.command(epilog="Example: zcat sales.ndjson.gz | regulars publish - --via http --rate 500")
def publish(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="One event a line; - reads standard input.")],
    via: Annotated[Way, typer.Option(help="Straight into Kafka, or through ingest.")] = Way.KAFKA,
    rate: Annotated[float | None, typer.Option(min=0.001, help="At most so many events a second.")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="REGULARS_KEY", help="A terminal's key, for http; else the installation's own.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="By Kafka: publish what is no event as it is, for the dead letters.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Publish events (NDJSON) and return when all are acknowledged.

    Each rejected line goes to stderr with its number and the reason; then the exit code is 1. Waits for Kafka or ingest
    when they are away. Publishing a file again changes nothing: an event counts once.
    """
    from services.local.publish import by_http, by_kafka, lines
    from services.local.publish.report import Report
    from shared.settings import Settings, load

    _quieten()
    found = installation.adopt(data_dir)
    settings = load(Settings)
    with lines.opened(file) as (source, size), Report(size) as report:
        events = lines.paced(lines.read(source), rate)
        if via is Way.KAFKA:
            by_kafka.publish(events, settings, report, raw=raw)
        else:
            own = found.keys.get("terminal") if found else None
            if not (key or own):
                raise SetupError("Publishing over HTTP needs a terminal's key: give --key, or --data-dir.")
            by_http.publish(events, settings.public_url, key or own or "", report)
    if report.rejected:
        raise typer.Exit(1)


@app.command(hidden=True)
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535)],
    demo: Annotated[bool, typer.Option("--demo", help="Tell what became of each mail: delivered, or bounced.")] = False,
) -> None:
    """The mail sandbox, as `regulars up` starts it."""
    from services.local.demo.mailboxes import fate
    from services.local.sandbox.main import run
    from shared.settings import IngestSettings, load

    settings = load(IngestSettings)
    run(
        settings.host,
        port,
        Path.cwd() / "sandbox",
        f"{settings.public_url}/webhooks/resend",
        settings.webhook_secret.get_secret_value(),
        auto_deliver=demo,
        fate=fate,
    )


def _show_status(data_dir: Path | None, *, as_json: bool) -> bool:
    from rich.console import Console

    from services.local import status as reading

    _quieten()
    content = reading.read(installation.require(data_dir))
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        reading.show(content, Console())
    return bool(content["ready"])


def _quieten() -> None:
    # Kafka's client tells at length of every try to connect; what matters is said in one line.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _say(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()

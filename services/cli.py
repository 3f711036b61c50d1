"""The command `regulars`: one service each, the schema, the settings, and the commands of each part."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from services.admin import commands as admin_commands
from services.ingest import commands as ingest_commands
from services.installation import DataDir, adopt
from services.local import commands as local_commands
from services.segmenter import commands as segmenter_commands
from shared.errors import RegularsError, SetupError

app = typer.Typer(
    name="regulars",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turns walk-in buyers into regulars: segments right to the second, no coupon oversold, no mail missed.",
    epilog="Start here: regulars up --detach; regulars status",
)
for part in (local_commands, ingest_commands, segmenter_commands, admin_commands):
    app.registered_commands += part.app.registered_commands
    app.registered_groups += part.app.registered_groups


@app.command(epilog="Example: REGULARS_KAFKA=kafka:9092 REGULARS_HOST=0.0.0.0 regulars ingest")
def ingest() -> None:
    """Run ingest: events, coupons, webhooks, opens and clicks over HTTP. Configured by REGULARS_*."""
    from services.ingest.main import run
    from shared.settings import IngestSettings, load

    run(load(IngestSettings))


@app.command(epilog="Example: REGULARS_INSTANCE=segmenter-1 regulars segmenter")
def segmenter() -> None:
    """Run the segmenter: ledger, stats and memberships from the stream. Configured by REGULARS_*."""
    from services.segmenter.main import run
    from shared.settings import SegmenterSettings, load

    run(load(SegmenterSettings))


@app.command(epilog="Example: REGULARS_MAIL_PROVIDER=resend RESEND_API_KEY=re_... regulars mailer")
def mailer() -> None:
    """Run the mailer: who gets which mail when, and the sending. Configured by REGULARS_*."""
    from services.mailer.main import run
    from shared.settings import MailerSettings, load

    run(load(MailerSettings))


@app.command(epilog="Example: REGULARS_ADMIN_PORT=8020 regulars admin")
def admin() -> None:
    """Run the admin API and console. Configured by REGULARS_*."""
    from services.admin.main import run
    from shared.settings import AdminSettings, load

    run(load(AdminSettings))


@app.command(epilog="Example: REGULARS_DATABASE=postgresql://... regulars migrate --check")
def migrate(
    data_dir: DataDir = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only tell: exit 0 when the schema is the newest, else 1.")
    ] = False,
) -> None:
    """Bring the database's schema to the newest."""
    from shared.database.migrate import is_current, upgrade
    from shared.settings import Settings, load

    adopt(data_dir)
    database = load(Settings).database
    if not check:
        upgrade(database)
    current = is_current(database)
    typer.echo("The schema is the newest." if current else "The schema is behind: run `regulars migrate`.")
    if not current:
        raise typer.Exit(1)


@app.command(epilog="Example: REGULARS_KAFKA=kafka:9092 REGULARS_REPLICATION=3 regulars topics")
def topics(
    data_dir: DataDir = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for Kafka.")] = 60.0,
) -> None:
    """Create the topics that Kafka lacks; present ones stay as they are."""
    from shared.kafka import create_topics
    from shared.kafka_trouble import reach_within
    from shared.settings import Settings, load

    adopt(data_dir)
    chosen = load(Settings)
    reach_within(chosen, wait)
    create_topics(chosen)
    typer.echo("The topics are there.")


@app.command(epilog="Example: regulars settings segmenter")
def settings(
    service: Annotated[str | None, typer.Argument(help="ingest, segmenter, mailer or admin; all without.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Show every setting: its meaning, its default, its present value (secrets masked)."""
    from services.settings_list import show

    adopt(data_dir)
    show(service)


def main() -> None:
    """Run a command; what went wrong is one line on stderr, with exit code 2 where the set-up is to blame, else 1."""
    try:
        app()
    except SetupError as error:
        _fail(error, 2)
    except RegularsError as error:
        _fail(error, 1)


def _fail(error: RegularsError, code: int) -> NoReturn:
    typer.echo(f"regulars: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

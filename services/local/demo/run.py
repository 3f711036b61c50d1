"""`regulars demo` from start to end."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from services import installation
from services.installation import Installation
from services.local import background, status
from services.local.demo import catalog, figures, mails, publishing, summary, year
from services.local.demo.organization import ORGANIZATION_ID, TIME_ZONE
from services.local.plan import Options
from shared.database.engine import engine
from shared.errors import RegularsError, SetupError
from shared.settings import Settings, load
from shared.wording import counted

MAILS_SECONDS = 60.0
LIVE_SECONDS = 1.0
LOGGED_SECONDS = 30.0  # where there is no terminal to write over
READ_SECONDS = 20.0
TILLS, READERS = "tills", "readers"


def run(options: Options, *, detach: bool) -> None:
    """Bring everything up, a year of purchases in and its mails out; then stay with the live tills until Ctrl-C.

    With `detach` it returns instead and leaves all running. Run again on the same directory it goes on where it is.
    Ctrl-C stops everything; after a RegularsError what runs is left for one to look at.
    """
    console = Console(highlight=False)
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # its retries are not news for a terminal
    with ThreadPoolExecutor(1) as pool:
        # Read while Kafka and PostgreSQL start: both take seconds.
        today = datetime.now(ZoneInfo(TIME_ZONE)).date()
        loading = pool.submit(year.load, today) if catalog.read(options.data_dir) is None else None
        found = _started(options, console)
        try:
            with _store(found) as store:
                purchases = _bring_in(found, store, loading, console) if loading else None
                _send_mails(found, store, console)
                if purchases is not None and READERS in found.processes:
                    _read_mails(found, store, console)
                if purchases is not None:
                    catalog.write(found.data_dir, catalog.of(purchases))  # the tills open
                _show_summary(found, store, console)
                if not detach:
                    _watch_tills(found, store, console)
        except KeyboardInterrupt:
            console.print("Stopping ...")
            background.stop(installation.require(options.data_dir), console.print)
        except RegularsError:
            for name, why in status.read(found)["not_ready"].items():
                console.print(f"{name}: {why}", markup=False)
            console.print("What runs goes on running; `regulars down` stops it.")
            raise


def _started(options: Options, console: Console) -> Installation:
    """The installation, started unless that of an earlier demo still runs."""
    found = installation.find(options.data_dir)
    if found is None or not status.supervised(found):
        console.print("[bold]Starting[/]")
        code = background.start(options, lambda text: console.print(text, markup=False))
        if code:
            sys.exit(code)
        return installation.require(options.data_dir)
    if TILLS not in found.processes:
        raise SetupError(
            f"Regulars runs on {found.data_dir} without the demo. `regulars down` first, or give another --data-dir."
        )
    console.print(f"Regulars runs on {found.data_dir} already.")
    return found


@contextmanager
def _store(found: Installation) -> Iterator[Engine]:
    store = engine(found.endpoints["database"], pool_size=1)
    try:
        yield store
    finally:
        store.dispose()


def _bring_in(found: Installation, store: Engine, loading: Future[year.Year], console: Console) -> year.Year:
    installation.adopt(found.data_dir)
    purchases = replace(loading.result(), currency=figures.currency(store, ORGANIZATION_ID))
    console.print(f"\n[bold]A year of {purchases.sales:,} real purchases, through Kafka[/]")
    seconds = publishing.bring_in(purchases, load(Settings), store, console)
    console.print(f"  in the stats after {seconds:.1f} s: {len(purchases) / seconds:,.0f} events/s")
    return purchases


def _send_mails(found: Installation, store: Engine, console: Console) -> None:
    console.print("\n[bold]Campaigns[/]")
    with mails.Marketer(found) as marketer:
        marketer.start_campaigns()
    with console.status("mails are going out"):
        out = mails.wait_until_out(store, MAILS_SECONDS)
    sent = figures.mails_sent(store, ORGANIZATION_ID)
    console.print(f"  {counted(sent, 'mail')} sent" + ("" if out else ", more are under way"))


def _read_mails(found: Installation, store: Engine, console: Console) -> None:
    with console.status("people read them"):
        read = mails.wait_until_read(found, store, READ_SECONDS)
    opened = figures.mails_opened(store, ORGANIZATION_ID)
    console.print(f"  {opened:,} opened" + ("" if read else ", more are being read"))


def _show_summary(found: Installation, store: Engine, console: Console) -> None:
    with mails.Marketer(found) as marketer:
        segments = [(str(one["name"]), int(one["member_count"])) for one in marketer.listed("/segments")]
    told = summary.Summary(
        currency=figures.currency(store, ORGANIZATION_ID),
        figures=figures.read(store, ORGANIZATION_ID),
        dead_letters=figures.dead_letters(store, ORGANIZATION_ID),
        segments=segments,
        mails=figures.mails(store, ORGANIZATION_ID),
    )
    summary.show(told, found, console)


def _watch_tills(found: Installation, store: Engine, console: Console) -> None:
    """Tell what the tills sell until somebody stops it, here by Ctrl-C or elsewhere by `regulars down`."""
    console.print("\nThe tills are live. Ctrl-C stops everything; the data stays.")
    currency, began = figures.currency(store, ORGANIZATION_ID), time.monotonic()
    before = figures.read(store, ORGANIZATION_ID)
    logged = began
    with console.status("") as line:
        while status.supervised(found):
            time.sleep(LIVE_SECONDS)
            try:
                now, out = figures.read(store, ORGANIZATION_ID), _mails(store)
            except OperationalError:
                line.update("the database is away; it is being started again")
                continue
            text = summary.live_line(now, before, time.monotonic() - began, out, currency)
            line.update(text)
            if not console.is_terminal and time.monotonic() - logged > LOGGED_SECONDS:
                console.print(text)
                logged = time.monotonic()
    console.print("Regulars was stopped.")


def _mails(store: Engine) -> tuple[int, int]:
    return figures.mails_sent(store, ORGANIZATION_ID), figures.mails_opened(store, ORGANIZATION_ID)

"""Mails a second to a sink that keeps nothing, by one mailer and by two, with ledger, gates and decision rows.

python -m benchmarks.mailer [--mails N] [--runs N] [--json FILE]

Floor in the same run: as many processes render the same mails and post them by the same client, with no database.
A run begins when the audience is announced and ends when every mail is written down as sent.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import psycopg
from sqlalchemy import Engine, insert

from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from services.local import ports
from services.mailer.planner import Planner
from shared.clock import utc_now
from shared.database.engine import engine, plain_url
from shared.database.tables import campaign, organization
from shared.settings import Settings

BODY = """Hello **{first_name|there}**,

we have not seen you since {last_visit_date|a while}. Here is what is new, and it is *good*:

- fresh bread every morning at seven, from our own oven
- coffee from a small roastery around the corner
- a table by the window, kept for you until ten

[Have a look](https://shop.example/new) before it is gone. You spent {total_spent} with us so far: thank you!
"""
CUSTOMERS = """
INSERT INTO customer (organization_id, customer_id, name, email, email_verified, marketing_consent,
    total_spent, visit_count, last_visit_at)
SELECT 'demo', 'c-' || lpad(n::text, 8, '0'), 'Asha Rao', 'c-' || n || '@example.com', true, true,
    mod(n, 100000), mod(n, 50), now() - make_interval(days => mod(n, 300))
FROM generate_series(1, %s) AS n
"""


def found(store: Engine, mails: int) -> None:
    with store.begin() as connection:
        values = {"organization_id": "demo", "name": "Demo", "currency": "INR", "time_zone": "Asia/Kolkata"}
        values |= {"sender_name": "Demo", "sender_email": "hello@demo.example", "postal_address": "1 Long Road\nPune"}
        connection.execute(insert(organization).values(values))
        connection.exec_driver_sql(CUSTOMERS, (mails,))


def add_campaign(store: Engine, name: str) -> None:
    with store.begin() as connection:
        values: dict[str, Any] = {"organization_id": "demo", "campaign_id": name, "name": name, "type": "promotional"}
        values |= {"subject": "For you, {first_name|friend}", "body": BODY, "state": "sending"}
        values |= {"respect_contact_time": False}
        connection.execute(insert(campaign).values(values))


@contextmanager
def sink(kind: str) -> Iterator[int]:
    port = ports.free()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.mail_sinks", kind, str(port)]) as process:
        try:
            wait_until_open(port)
            yield port
        finally:
            process.kill()


def wait_until_open(port: int) -> None:
    while not ports.accepts(f"127.0.0.1:{port}"):
        time.sleep(0.02)


def send(store: Engine, settings: Settings, running: list[psutil.Process]) -> tuple[float, float]:
    """Seconds until all is sent, and CPU seconds of the mailers."""
    name = f"c{uuid.uuid4().hex[:8]}"
    add_campaign(store, name)
    before = cpu(running)
    started = time.perf_counter()
    Planner(store, utc_now).step("demo")
    announced = time.perf_counter()
    with psycopg.connect(plain_url(settings.database), autocommit=True) as plain:
        while plain.execute("SELECT state FROM campaign WHERE campaign_id = %s", [name]).fetchone() != ("sent",):
            time.sleep(0.02)
        seconds = time.perf_counter() - announced
        print(f"planned in {announced - started:.1f} s, sent in {seconds:.1f} s", file=sys.stderr)
        used = cpu(running) - before
        skipped = plain.execute(
            "SELECT count(*) FROM message WHERE campaign_id = %s AND state <> 'sent'", [name]
        ).fetchone()
        if skipped != (0,):
            raise RuntimeError(f"{skipped} mails were not sent")
        # So that everybody may have the next one, and finds a table as autovacuum would leave it.
        plain.execute("UPDATE mail_slot SET last_on = last_on - 40, previous_on = NULL")
        while plain.execute("SELECT count(*) FROM mail_batch WHERE state = 'accepted'").fetchone() != (0,):
            time.sleep(0.1)
        plain.execute("VACUUM ANALYZE")
        plain.execute("CHECKPOINT")
    return seconds, used


def cpu(processes: list[psutil.Process]) -> float:
    return float(sum(sum(each.cpu_times()[:2]) for each in processes))


def floor(kind: str, settings: Settings, port: int, mails: int, processes: int) -> float:
    """Seconds that rendering and posting take with nothing else."""
    command = [sys.executable, "-m", "benchmarks.mail_floor", kind, str(port), settings.database]
    with ExitStack() as running:
        share = [*command, str(mails // processes)]
        pipe = subprocess.PIPE
        ones = [
            running.enter_context(subprocess.Popen(share, stdin=pipe, stdout=pipe, text=True)) for _ in range(processes)
        ]
        for one in ones:
            one.stdout.readline()  # type: ignore[union-attr]
        started = time.perf_counter()
        for one in ones:
            one.stdin.write("go\n")  # type: ignore[union-attr]
            one.stdin.flush()  # type: ignore[union-attr]
        for one in ones:
            one.wait()
        return time.perf_counter() - started


def measure(report: Report, store: Engine, settings: Settings, kind: str, given: Any) -> None:
    for processes in (1, 2):
        name = f"{kind}, {processes} mailer{'s' * (processes > 1)}"
        with sink(kind) as port, ExitStack() as running:
            address = {"sandbox_url": f"http://127.0.0.1:{port}", "mail_provider": "sandbox"}
            if kind == "smtp":
                address = {"smtp_url": f"smtp://127.0.0.1:{port}", "mail_provider": "smtp"}
                address |= {"smtp_tls": "off", "smtp_mails_per_second": "1000000"}
            mailers = [
                running.enter_context(service("mailer", settings, instance=f"mailer-{n}", **address))
                for n in range(processes)
            ]
            if given.warm:
                send(store, settings, mailers)
            for _ in range(given.runs):
                lowest = floor(kind, settings, port, given.mails, processes)
                seconds, used = send(store, settings, mailers)
                report.add(f"{name}: mails/s", given.mails / seconds)
                report.add(f"{name}: floor, mails/s", given.mails / lowest)
                report.add(f"{name}: ratio to the floor", lowest / seconds)
                report.add(f"{name}: CPU of the mailers, us/mail", used / given.mails * 1e6)
                report.add(f"{name}: resident, MB", *[each.memory_info().rss / 1e6 for each in mailers])


def main() -> None:
    given = arguments(
        __doc__, [("mails", 100_000, "recipients"), ("runs", 3, "runs of each"), ("warm", 1, "a run before that")]
    )
    report = Report("mailer", f"{given.mails:,} mails in batches of 100 to a sink; durable")
    with machine() as settings:
        store = engine(settings.database)
        found(store, given.mails)
        for kind in ("http", "smtp"):
            measure(report, store, settings, kind, given)
        store.dispose()
    report.claim("http, 2 mailers: mails/s", ">= 22,000, and more than one mailer")
    report.claim("http, 2 mailers: ratio to the floor", ">= 0.4")
    report.claim("smtp, 2 mailers: mails/s", ">= 9,000")
    report.finish(given.json)


if __name__ == "__main__":
    main()

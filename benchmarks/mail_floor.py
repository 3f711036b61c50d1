"""The floor of the benchmark `mailer`: a process that renders and posts its share, with no ledger.

python -m benchmarks.mail_floor http|smtp PORT DATABASE MAILS
"""

from __future__ import annotations

import gc
import sys
import uuid

from sqlalchemy import true

from services.mailer.batches import Letters
from services.mailer.content import Writer
from services.mailer.provider import Provider
from services.mailer.resend_provider import ResendProvider
from services.mailer.smtp_line import server_of
from services.mailer.smtp_provider import SmtpProvider
from shared.clock import utc_now
from shared.database.campaigns import read_campaigns, read_organization
from shared.database.engine import engine
from shared.mail.content import compiled
from shared.mail.variables import People, values_of


def main(kind: str, port: int, database: str, mails: int) -> None:
    store = engine(database)
    with store.connect() as connection:
        sender = read_organization(connection, "demo")
        wanted = read_campaigns(connection, "demo", true())
    store.dispose()
    assert sender is not None  # noqa: S101 - the benchmark made it
    content = compiled(wanted[0].wording(sender, sender.sender_email))
    writer = Writer("s3cret", "http://127.0.0.1:8010")
    provider: Provider = ResendProvider("key", f"http://127.0.0.1:{port}")
    if kind == "smtp":
        provider = SmtpProvider(server_of(f"smtp://127.0.0.1:{port}", "off"), connections=8)
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)  # as the mailer has it
    print("ready", flush=True)
    sys.stdin.readline()
    people = People(["Asha Rao"] * 100, [9_000] * 100, [3] * 100, [utc_now()] * 100, [None] * 100)
    for first in range(0, mails, 100):
        letters = Letters(
            [str(uuid.uuid4()) for _ in range(100)],
            [f"c-{n}" for n in range(first, first + 100)],
            [f"c-{n}@example.com" for n in range(first, first + 100)],
            {**values_of(content.variables, people, sender)},
            [None] * 100,
        )
        provider.send_batch(writer.mails(content, "demo", letters), str(uuid.uuid4()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))

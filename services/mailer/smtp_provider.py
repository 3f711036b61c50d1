"""SMTP: mails of a batch side by side over some connections, one at a time on each.

SMTP knows no idempotency key. So before a connection hands over its next text, the mails that were taken are noted in
the database; after a crash only those are in doubt whose text was sent and whose answer was not noted, one a
connection. They go again under the same Message-ID.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from typing import Final

from services.mailer.mime_headers import address_of
from services.mailer.provider import Mail, Mails, Outcome, Taken, unnoted
from services.mailer.smtp_exchange import TROUBLE, Exchange, ReturnPath
from services.mailer.smtp_line import HaltedError, Line, Server
from shared.domain.bounces import bounce_token

# Servers end connections that idle.
KEPT: Final = 20.0
# Printable ASCII without blanks and brackets: others need SMTPUTF8, which few servers take.
ADDRESS: Final = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")


def to_sender(mail: Mail) -> str:
    """The return path of who reads the sender's own mailbox for bounces."""
    return address_of(mail.form.sender)


def signed_return_path(address: str, secret: str) -> ReturnPath:
    """The address with +TOKEN before its @ (VERP): a bounce then names its mail, signed (shared/domain/bounces.py)."""
    local, _, domain = address.rpartition("@")

    def of(mail: Mail) -> str:
        return f"{local}+{bounce_token(secret, mail.form.organization_id, mail.message_id)}@{domain}"

    return of


class SmtpProvider:
    """For any number of threads, each with up to `connections` connections."""

    def __init__(self, server: Server, connections: int, return_path: ReturnPath = to_sender) -> None:
        self._server = server
        self._connections = connections
        self._return_path = return_path
        self._lines: defaultdict[int, list[Line]] = defaultdict(list)
        self._used_at: dict[int, float] = {}

    def send_batch(self, mails: Mails, idempotency_key: str, taken: Taken = unnoted) -> Outcome:
        """Each mail is taken, refused or to be tried again by itself."""
        del idempotency_key
        own = threading.get_ident()
        exchange = Exchange(mails, self._lines[own], taken, self._return_path)
        for n, address in enumerate(mails.columns["to"]):
            if ADDRESS.fullmatch(address):
                exchange.waiting.append(n)
            else:
                exchange.refused[n] = "No address that SMTP carries."
        try:
            self._connect(own, len(exchange.waiting))
            exchange.run()
        except HaltedError as error:
            exchange.halted = str(error)
        except TROUBLE as error:
            exchange.why = f"{type(error).__name__}: {error}"
        self._used_at[own] = time.monotonic()
        return exchange.outcome()

    def close(self) -> None:
        """End the connections."""
        for lines in self._lines.values():
            while lines:
                lines.pop().close()

    def _connect(self, own: int, mails: int) -> None:
        lines = self._lines[own]
        idle = time.monotonic() - self._used_at.get(own, 0.0) > KEPT
        for line in list(lines):
            if idle or not line.is_quiet:
                lines.remove(line)
                line.close()
        while len(lines) < min(self._connections, mails):
            try:
                lines.append(Line(self._server))
            except TROUBLE:
                if not lines:
                    raise
                return  # it wants fewer

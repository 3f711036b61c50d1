"""A small SMTP server for tests: keeps what comes, and fails where an address or the test asks for it."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from typing import Any

# What the local part of a recipient asks for.
REFUSALS = {"gone": "550 5.1.1 no such user", "full": "452 4.2.2 mailbox full", "grey": "451 4.7.1 come again"}


@dataclass(frozen=True)
class Kept:
    """One mail as it arrived."""

    sender: str
    to: str
    raw: bytes

    @property
    def headers(self) -> Message:
        return email.message_from_bytes(self.raw.partition(b"\r\n\r\n")[0])

    @property
    def parsed(self) -> EmailMessage:
        found = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        return found


@dataclass
class SmtpSink:
    """`cuts`: so many mails are kept, and then the line is cut before the answer."""

    port: int = 0
    mails: list[Kept] = field(default_factory=list)
    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME")
    cuts: int = 0
    refuse_sender: str = ""
    connections: int = 0
    on_mail: Callable[[Kept], None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def recipients(self) -> list[str]:
        with self.lock:
            return [kept.to for kept in self.mails]

    def keep(self, kept: Kept) -> bool:
        """Whether to answer."""
        with self.lock:
            self.mails.append(kept)
            self.cuts -= 1
            cut = self.cuts >= 0
        if self.on_mail is not None:
            self.on_mail(kept)
        return not cut


@contextmanager
def smtp_sink(**given: Any) -> Iterator[SmtpSink]:
    sink = SmtpSink(**given)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with sink.lock:
                sink.connections += 1
            try:
                converse(sink, self.rfile, lambda line: self.wfile.write(f"{line}\r\n".encode()))
            except ConnectionError:
                return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield sink
        finally:
            server.shutdown()


def converse(sink: SmtpSink, lines: Any, say: Callable[[str], Any]) -> None:
    """One connection."""
    say("220 sink ready")
    sender = to = ""
    for line in lines:
        word, _, rest = line.decode().strip().partition(" ")
        match word.upper():
            case "EHLO":
                for name in ("sink", *sink.extensions[:-1]):
                    say(f"250-{name}")
                say(f"250 {sink.extensions[-1]}")
            case "MAIL":
                sender, to = rest.partition("<")[2].partition(">")[0], ""
                say(sink.refuse_sender or "250 2.1.0 ok")
            case "RCPT":
                wanted = rest.partition("<")[2].partition(">")[0]
                refusal = REFUSALS.get(wanted.partition("@")[0].partition("-")[0])
                to = to if refusal else wanted
                say(refusal or "250 2.1.5 ok")
            case "DATA" if not to:
                say("503 5.5.1 no valid recipients")
            case "DATA":
                say("354 go on")
                if not sink.keep(Kept(sender, to, text_of(lines))):
                    return
                say(f"250 2.0.0 queued as {len(sink.mails)}")
            case "QUIT":
                say("221 bye")
                return
            case _:
                say("250 ok")


def text_of(lines: Any) -> bytes:
    kept = []
    for line in lines:
        assert line.endswith(b"\r\n"), line
        assert len(line) <= 1000, len(line)  # RFC 5321, 4.5.3.1.6
        if line == b".\r\n":
            return b"".join(kept)
        kept.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    raise ConnectionError("cut in the middle")

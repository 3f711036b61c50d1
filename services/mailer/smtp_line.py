"""One connection to an SMTP server (RFC 5321): opened with STARTTLS and a login, then mails in as few round trips as
the server allows. With PIPELINING (RFC 2920) a mail's text and the next mail's envelope go in one write.
"""

from __future__ import annotations

import select
import smtplib
import socket
import ssl
import struct
import sys
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from shared.errors import SetupError

TIMEOUT: Final = 30.0
# The server ends the connection.
CLOSING: Final = 421

Tls = Literal["required", "offered", "off"]


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect. `smtps` speaks TLS from the start."""

    host: str
    port: int
    smtps: bool
    user: str
    password: str
    tls: Tls
    trust: ssl.SSLContext


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What the server said. `to` is the command that it answers."""

    code: int
    text: str
    to: str

    @property
    def good(self) -> bool:
        """Whether the command was taken."""
        return self.code < 400  # noqa: PLR2004 - RFC 5321, 4.2.1

    @property
    def is_final(self) -> bool:
        """Whether it will be the same another time."""
        return self.code >= 500  # noqa: PLR2004 - RFC 5321, 4.2.1

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class HaltedError(Exception):
    """The server will take nothing from us until somebody acts."""


def server_of(url: str, tls: Tls, ca_file: str = "") -> Server:
    """The server of smtp://user:password@host:port or smtps://…, whose certificate is of the machine's authorities or
    of those in `ca_file`. Raises SetupError.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise SetupError("Setting REGULARS_SMTP_URL must read smtp://user:password@host:587 or smtps://…:465.")
    smtps = parts.scheme == "smtps"
    port = parts.port or (465 if smtps else 587)
    try:
        trust = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise SetupError(f"Setting REGULARS_SMTP_CA_FILE names no file with certificates (PEM): {error}") from error
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Server(parts.hostname, port, smtps, user, password, tls, trust)


class Line:
    """Use it from one thread. Any OSError, or smtplib.SMTPException, is the end of it."""

    def __init__(self, server: Server) -> None:
        """Connect. Raises HaltedError, OSError or smtplib.SMTPException."""
        try:
            self._smtp = _connected(server)
        except (ssl.SSLCertVerificationError, smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as error:
            raise HaltedError(f"{server.host}:{server.port}: {error}") from error
        self._pipelining = self._smtp.has_extn("pipelining")
        self.eight_bit = self._smtp.has_extn("8bitmime")
        if self._smtp.sock is None:
            raise ConnectionError("The server ended the connection.")
        self._socket = self._smtp.sock
        _wait_in_kernel(self._socket)
        self._lines = self._socket.makefile("rb")
        self._asked = False
        self._commands: list[str] = []

    def offer(self, sender: str, recipient: str, before: bytes = b"") -> None:
        """Name a mail's sender and recipient; `before` goes first, in the same write."""
        commands = [f"MAIL FROM:<{sender}>{' BODY=8BITMIME' * self.eight_bit}", f"RCPT TO:<{recipient}>", "DATA"]
        self._asked = self._pipelining
        if self._pipelining:
            self._socket.sendall(before + "\r\n".join([*commands, ""]).encode())
            return
        if before:
            self._socket.sendall(before)
        self._commands = commands

    def answer(self) -> Reply:
        """Whether the text may come: 354, or why not."""
        if self._asked:
            answers = [self._reply(command) for command in ("MAIL", "RCPT", "DATA")]
        else:
            answers = []
            for command in self._commands:
                self._socket.sendall(f"{command}\r\n".encode())
                answers.append(self._reply(command[:4]))
                if not answers[-1].good:
                    break
        refused = next((answer for answer in answers if not answer.good), None)
        if refused is None:
            return answers[-1]
        if answers[-1].good and answers[-1].to == "DATA":
            # It wants a text for nobody (RFC 2920, 3.1): give it an empty one.
            self._socket.sendall(b".\r\n")
            self._reply("DATA")
        self._socket.sendall(b"RSET\r\n")
        self._reply("RSET")
        return refused

    def send(self, text: bytes) -> None:
        """The text, with its last line."""
        self._socket.sendall(text)

    def verdict(self) -> Reply:
        """What became of the text."""
        return self._reply("TEXT")

    @property
    def is_quiet(self) -> bool:
        """Whether nothing came unasked: a server that ends an idle connection says so, or just ends it."""
        return not select.select([self._socket], [], [], 0)[0]

    @property
    def pipelining(self) -> bool:
        """Whether `offer` may go with the text before it."""
        return self._pipelining

    def close(self) -> None:
        """End it, without waiting for a good-bye."""
        self._lines.close()
        self._smtp.close()

    def _reply(self, to: str) -> Reply:
        line = self._lines.readline(2048)
        if line[3:4] == b" " and line.endswith(b"\n") and line[:3].isdigit():
            return Reply(int(line[:3]), line[4:].strip().decode("utf-8", "replace"), to)
        return self._long_reply(line, to)

    def _long_reply(self, line: bytes, to: str) -> Reply:
        texts = []
        while True:
            if not line.endswith(b"\n") or not line[:3].isdigit():
                raise ConnectionError(f"The line ended at {to}." if not line else f"No SMTP at {to}: {line[:80]!r}")
            texts.append(line[4:].strip().decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return Reply(int(line[:3]), " ".join(texts), to)
            line = self._lines.readline(2048)


def _wait_in_kernel(connection: socket.socket) -> None:
    """Python polls before each call on a socket that has a timeout; with the kernel's own timeout a call is one call.
    TLS reads in pieces of its own and stays as it is.
    """
    if isinstance(connection, ssl.SSLSocket) or sys.platform == "win32":
        return
    span = struct.pack("ll", int(TIMEOUT), int(TIMEOUT % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
    connection.settimeout(None)


def _connected(server: Server) -> smtplib.SMTP:
    if server.smtps:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=server.trust)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
    try:
        smtp.ehlo_or_helo_if_needed()
        if not server.smtps and server.tls != "off" and (server.tls == "required" or smtp.has_extn("starttls")):
            smtp.starttls(context=server.trust)
            smtp.ehlo_or_helo_if_needed()
        if server.user:
            smtp.login(server.user, server.password)
    except BaseException:
        smtp.close()
        raise
    return smtp

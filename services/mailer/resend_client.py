"""The HTTP client of Resend's SDK, with a connection for each thread."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import resend
from msgspec.json import encode

TIMEOUT = 20.0  # seconds
KEPT = 2.0  # seconds that an idle connection is used again
# What mails that are JSON already are called among the fields of one.
READY = "ready"


@dataclass(slots=True)
class Line:
    """A thread's connection, when it was used last, and whether the last call found nobody to talk to."""

    connection: HTTPConnection | None = None
    used_at: float = 0.0
    unreachable: bool = False

    def drop(self) -> None:
        """End it."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class KeepAlive(resend.HTTPClient):
    """The SDK's own client opens a connection for each call; this one keeps one a thread, and encodes faster."""

    def __init__(self) -> None:
        self._lines: defaultdict[int, Line] = defaultdict(Line)
        self._trust = httpx.create_ssl_context()

    @property
    def unreachable(self) -> bool:
        """Whether this thread's last call found nobody to talk to, so that surely nothing was taken."""
        return self._lines[threading.get_ident()].unreachable

    def request(  # noqa: PLR0917 - as the SDK declares it
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        json: dict[str, object] | list[object] | None = None,
        files: dict[str, Any] | None = None,
        data: dict[str, str] | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        del files, data  # attachments are nothing that we send
        line = self._lines[threading.get_ident()]
        place = urlsplit(url)
        sent = {**headers, "Content-Type": "application/json"}
        try:
            connection = self._connection(line, place)
            body = _body(json)
            sent["Content-Length"] = str(sum(map(len, body)))
            connection.request(method.upper(), place.path, body, sent)
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            line.drop()
            raise
        line.used_at = time.monotonic()
        return content, response.status, dict(response.getheaders())

    def close(self) -> None:
        """End the connections. Call it when no thread is calling."""
        for line in self._lines.values():
            line.drop()

    def _connection(self, line: Line, place: SplitResult) -> HTTPConnection:
        line.unreachable = False
        # Servers end connections that idle: a call seldom shall meet one that is being closed.
        if line.connection is not None and time.monotonic() - line.used_at < KEPT:
            return line.connection
        line.drop()
        line.connection = self._open(place)
        line.unreachable = True
        line.connection.connect()
        line.unreachable = False
        return line.connection

    def _open(self, place: SplitResult) -> HTTPConnection:
        host, port = place.hostname or "", place.port
        proxy = None if proxy_bypass(host) else getproxies().get(place.scheme)
        via = urlsplit(proxy) if proxy else None
        if place.scheme != "https":
            return HTTPConnection(host, port, timeout=TIMEOUT)
        if via is None:
            return HTTPSConnection(host, port, timeout=TIMEOUT, context=self._trust)
        connection = HTTPSConnection(via.hostname or "", via.port, timeout=TIMEOUT, context=self._trust)
        connection.set_tunnel(host, port or 443)
        return connection


def _body(json: dict[str, object] | list[object] | None) -> list[bytes]:
    match json:
        case [{"ready": body}]:  # READY
            return cast("list[bytes]", body)
        case _:
            return [encode(json)]

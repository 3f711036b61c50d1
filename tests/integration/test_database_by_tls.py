"""PostgreSQL by TLS: what REGULARS_DATABASE says of it reaches every kind of connection.

Our own PostgreSQL comes without OpenSSL, so a front ends TLS before it, as a cloud's proxy does.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from services.local import ports, probes
from shared.database import migrate
from shared.database.engine import connect, engine, hot_engine
from shared.errors import TransientError

# Lengths and codes of PostgreSQL's protocol, 54.2.
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
GSS_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x30"


class Front(socketserver.ThreadingTCPServer):
    """Takes TLS only, and hands on what comes in it."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, upstream: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__((ports.LOOPBACK, 0), self._handle)  # type: ignore[arg-type] # a function does as well
        self.upstream, self.context = upstream, context

    def _handle(self, client: socket.socket, *_: Any) -> None:
        with suppress(OSError), client:
            if (asked := client.recv(8)) == GSS_REQUEST:
                client.sendall(b"N")
                asked = client.recv(8)
            if asked != SSL_REQUEST:
                return
            client.sendall(b"S")
            with (
                self.context.wrap_socket(client, server_side=True) as inner,
                socket.create_connection(self.upstream) as server,
            ):
                back = threading.Thread(target=hand_on, args=(server, inner))
                back.start()
                hand_on(inner, server)
                back.join()


def hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def address(database: str, authority: trustme.CA, tmp_path: Path) -> Iterator[Callable[[trustme.CA], str]]:
    """The database's address behind the front, for who trusts the given authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    plain = make_url(database)

    def trusting(whom: trustme.CA) -> str:
        file = tmp_path / "our authorities" / "ca.pem"
        file.parent.mkdir(exist_ok=True)
        whom.cert_pem.write_to_path(file)
        path = str(file).replace(" ", "%20")
        url = plain.set(host="localhost", port=front.server_address[1]).render_as_string(hide_password=False)
        return f"{url}?sslmode=verify-full&sslrootcert={path}"

    with Front((str(plain.host), int(plain.port or 0)), context) as front:
        serving = threading.Thread(target=front.serve_forever, args=(0.02,))
        serving.start()
        yield trusting
        front.shutdown()
        serving.join()


def is_by_tls(of: Engine) -> bool:
    try:
        with of.connect() as connection:
            connection.execute(text("SELECT 1"))
            driver: Any = connection.connection.driver_connection
            return bool(driver.pgconn.ssl_in_use)
    finally:
        of.dispose()


def test_every_kind_of_connection_goes_by_tls_and_knows_its_server(
    address: Callable[[trustme.CA], str], authority: trustme.CA
) -> None:
    url = address(authority)
    assert probes.why_no_database(url) is None
    migrate.upgrade(url)
    assert migrate.is_current(url)
    assert is_by_tls(engine(url))
    assert is_by_tls(hot_engine(url))
    with connect(url) as connection:
        assert connection.pgconn.ssl_in_use


def test_a_server_of_an_unknown_authority_is_refused_by_every_kind_of_connection(
    address: Callable[[trustme.CA], str],
) -> None:
    url = address(trustme.CA())
    told = "certificate verify failed"
    assert told in (probes.why_no_database(url) or "")
    with pytest.raises(TransientError, match=told):
        migrate.upgrade(url)
    for made in (engine(url), hot_engine(url)):
        with pytest.raises(OperationalError, match=told):
            made.connect()
        made.dispose()
    with pytest.raises(psycopg.OperationalError, match=told):
        connect(url)

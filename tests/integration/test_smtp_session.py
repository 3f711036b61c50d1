"""An SMTP session as real servers want it: STARTTLS, a certificate of an own authority, a login. The server is aiosmtpd."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult, LoginPassword

from services.local import ports
from services.mailer.provider import Accepted, Halted, Mail, Mails, Outcome, form_of
from services.mailer.provider_choice import provider_of
from shared.errors import SetupError
from shared.settings import MailerSettings, load

FORM = form_of("acme", "Acme <hello@acme.example>", ("<p>Hi</p>",), ("Hi",))


class Inbox(Sink):
    """Keeps what comes, and over what it came."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, bool, bool]] = []

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.arrived.append((envelope.rcpt_tos[0], session.ssl is not None, session.authenticated))
        return "250 2.0.0 taken"


def login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    good = isinstance(given, LoginPassword) and (given.login, given.password) == (b"shop", b"s3cr:t@")
    return AuthResult(success=good, handled=False)  # the server itself says so


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    made.cert_pem.write_to_path(str(file))
    return made, file


@pytest.fixture
def server(authority: tuple[trustme.CA, Path]) -> Iterator[tuple[Inbox, int]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("localhost").configure_cert(context)
    inbox, port = Inbox(), ports.free()
    controller = Controller(
        inbox,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=login,
    )
    controller.start()
    yield inbox, port
    controller.stop()


def sent(port: int, ca_file: Path | str, password: str = "s3cr%3At%40") -> Outcome:
    url = f"smtp://shop:{password}@localhost:{port}"
    provider = provider_of(load(MailerSettings, mail_provider="smtp", smtp_url=url, smtp_ca_file=str(ca_file)))
    mails = [
        Mail(FORM, {"message_id": f"00000000-0000-4000-8000-{n:012d}", "to": f"c{n}@example.com", "subject": "Hello"})
        for n in range(5)
    ]
    try:
        return provider.send_batch(Mails.of(*mails), "key")
    finally:
        provider.close()


def test_mails_go_encrypted_and_logged_in(server: tuple[Inbox, int], authority: tuple[trustme.CA, Path]) -> None:
    inbox, port = server
    outcome = sent(port, authority[1])
    assert isinstance(outcome, Accepted)
    assert sorted(outcome.ids) == list(range(5))
    assert sorted(inbox.arrived) == [(f"c{n}@example.com", True, True) for n in range(5)]


def test_a_certificate_of_nobody_known_halts(server: tuple[Inbox, int]) -> None:
    inbox, port = server
    outcome = sent(port, "")
    assert isinstance(outcome, Halted)
    assert "certificate verify failed" in outcome.why
    assert inbox.arrived == []


def test_a_wrong_password_halts(server: tuple[Inbox, int], authority: tuple[trustme.CA, Path]) -> None:
    inbox, port = server
    outcome = sent(port, authority[1], password="guessed")
    assert isinstance(outcome, Halted)
    assert "535" in outcome.why
    assert inbox.arrived == []


def test_a_file_without_certificates_is_refused_at_the_start(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    for text in (None, "nothing"):
        if text is not None:
            empty.write_text(text)
        with pytest.raises(SetupError, match="REGULARS_SMTP_CA_FILE"):
            sent(25, empty)

"""A mail as SMTP carries it (RFC 5322, RFC 2045): text and HTML beside each other, every line within its limits.

`email.message` takes 2 to 3 ms a mail for the same. Most fit into their campaign's frame (mime_frame.py); what does not
is written by itself in some 20 us.
"""

from __future__ import annotations

from binascii import b2a_qp

from services.mailer.mime_frame import LONGEST_LINE, as_octets, framed, unix
from services.mailer.mime_headers import boundary_of, header_text, mailbox_text, message_id_of, on_one_line
from services.mailer.provider import Mail, Mails


def written(mails: Mails, date: str, *, eight_bit: bool) -> list[bytes]:
    """Each mail's octets up to, and with, the line with the dot. `eight_bit`: whether the server takes what is not
    ASCII as it is (8BITMIME, RFC 6152).
    """
    texts = framed(mails, date, eight_bit=eight_bit)
    return [_by_itself(mails[n], date, eight_bit) if text is None else text for n, text in enumerate(texts)]


def _by_itself(mail: Mail, date: str, eight_bit: bool) -> bytes:
    boundary = boundary_of(mail.message_id)
    headers = [
        f"From: {mailbox_text(mail.form.sender)}",
        f"To: {mail.to}",
        f"Subject: {header_text(mail.subject)}",
        f"Date: {date}",
        f"Message-ID: {message_id_of(mail.form, mail.message_id)}",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
        *(f"{name}: {on_one_line(value)}" for name, value in mail.headers.items()),
        "",
        "",
    ]
    parts = [
        "\r\n".join(headers).encode("ascii", "replace"),
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n".encode(),
        _body(mail.text, eight_bit),
        f"\r\n--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\n".encode(),
        _body(mail.html, eight_bit),
        f"\r\n--{boundary}--\r\n.\r\n".encode(),
    ]
    return b"".join(parts)


def _body(text: str, eight_bit: bool) -> bytes:
    """A part's last header and its lines, dots doubled (RFC 5321, 4.5.2)."""
    octets = as_octets(unix(text))
    how = "7bit" if octets.isascii() else "8bit"
    if (how == "8bit" and not eight_bit) or max(map(len, octets.split(b"\n"))) > LONGEST_LINE:
        how, octets = "quoted-printable", b2a_qp(octets, istext=True)
    head = f"Content-Transfer-Encoding: {how}\r\n\r\n".encode()
    octets = octets.replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
    return head + (b"." + octets if octets.startswith(b".") else octets)

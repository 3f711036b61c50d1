"""A mail as SMTP carries it (RFC 5322, RFC 2045): text and HTML beside each other, every line within its limits.

`email.message` takes 2 to 3 ms a mail for the same. The frame is built once a campaign and filled for each mail; what
does not fit into it, by its letters or the length of its lines, is written by itself in some 20 us.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Sequence
from email.utils import parseaddr
from functools import lru_cache
from typing import Final, NamedTuple

from services.mailer.provider import Form, Mail, Mails
from services.mailer.stencil import OURS, Columns, Hole, Stencil, pieces_of, ways
from shared.domain.templating import Parts, Slot

# RFC 5322, 2.1.1: no line over 998 octets.
LONGEST_LINE: Final = 998
# What of a header's text goes as it is: short, printable, and nothing that reads like an encoded word.
PLAIN: Final = re.compile(r"(?!.*=\?)[ -~]{0,60}")
# Octets that one character of a value may become where it is written: as it is, as a reference, percent-encoded.
OCTETS: Final = {"text": 4, "html": 6, "link": 12}
# How long values of ours can be: a signed text.
OUR_LENGTH: Final = 43
# Shorter names and sums than that would hardly ever fit.
SHORTEST: Final = 20
# RFC 2047, 2: 75 characters an encoded word; 45 octets become 60 of them.
WORD: Final = 45


def written(mails: Mails, date: str, *, eight_bit: bool) -> list[bytes]:
    """Each mail's octets up to, and with, the line with the dot. `eight_bit`: whether the server takes what is not
    ASCII as it is (8BITMIME, RFC 6152).
    """
    texts = framed(mails, date, eight_bit=eight_bit)
    return [_by_itself(mails[n], date, eight_bit) if text is None else text for n, text in enumerate(texts)]


def framed(mails: Mails, date: str, *, eight_bit: bool) -> list[bytes | None]:
    """The mails in the frame of their form; None where one does not fit."""
    frame = _frame(mails.form, eight_bit)
    if frame is None:
        return [None] * len(mails)
    columns, ids = mails.columns, mails.columns["message_id"]
    headers = {
        "subject": [header_text(subject) for subject in columns["subject"]],
        "date": [date] * len(mails),
        "id": [_message_id(mails.form, message_id) for message_id in ids],
        "boundary": [_boundary(message_id) for message_id in ids],
    }
    texts = frame.stencil.filled({**columns, **headers}, len(mails))
    misfits = frame.misfits(columns)
    return [text if n not in misfits and (eight_bit or text.isascii()) else None for n, text in enumerate(texts)]


def _by_itself(mail: Mail, date: str, eight_bit: bool) -> bytes:
    boundary = _boundary(mail.message_id)
    headers = [
        f"From: {_mailbox(mail.form.sender)}",
        f"To: {mail.to}",
        f"Subject: {header_text(mail.subject)}",
        f"Date: {date}",
        f"Message-ID: {_message_id(mail.form, mail.message_id)}",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
        *(f"{name}: {_on_one_line(value)}" for name, value in mail.headers.items()),
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


class Frame(NamedTuple):
    """`longest`: characters of a value that leave every line within its limits; `names`: the values that come in;
    `starting`: those that begin a line, with their defaults.
    """

    stencil: Stencil
    longest: int
    names: frozenset[str]
    starting: tuple[tuple[str, str], ...]

    def misfits(self, columns: Columns) -> set[int]:
        """The positions of the mails that do not fit."""
        found: set[int] = set()
        for column in [columns[name] for name in self.names if name in columns]:
            # Most fit, which is seen of all at once.
            if max(map(len, column)) > self.longest or not "".join(column).isprintable():
                found |= {n for n, value in enumerate(column) if len(value) > self.longest or not value.isprintable()}
        for name, default in self.starting:
            column = columns.get(name) or [""] * len(columns["message_id"])
            found |= {n for n, value in enumerate(column) if not _starts_a_line(value or default)}
        return found


@lru_cache(maxsize=64)
def _frame(form: Form, eight_bit: bool) -> Frame | None:
    """None where the form's own lines are too long or its letters not the server's."""
    texts = [form.text, form.html]
    longest = min(map(_room, texts))
    fixed = [part if isinstance(part, str) else part.default for parts in texts for part in parts]
    if longest < SHORTEST or not (eight_bit or "".join(fixed).isascii()):
        return None
    how = "8bit" if eight_bit else "7bit"
    slots = [part for parts in texts for part in parts if isinstance(part, Slot)]
    starting = [
        (part.name, part.default)
        for parts in texts
        for before, part in zip(("\n", *parts), parts, strict=False)
        if isinstance(part, Slot) and (isinstance(before, Slot) or before.endswith(("\n", "\r")))
    ]
    octets = ways(_all_octets)
    headers: list[bytes | Hole] = []
    for name, parts in form.headers:
        headers += [_octets(f"{name}: "), *pieces_of(parts, ways(_header_octets)), b"\r\n"]
    stencil = Stencil(
        [
            _octets(f"From: {_mailbox(form.sender)}\r\nTo: "),
            *(_hole("to"), b"\r\nSubject: ", _hole("subject"), b"\r\nDate: ", _hole("date")),
            *(b"\r\nMessage-ID: ", _hole("id"), b"\r\nMIME-Version: 1.0\r\n"),
            *(b'Content-Type: multipart/alternative; boundary="', _hole("boundary"), b'"\r\n', *headers, b"\r\n--"),
            *(_hole("boundary"), _head("plain", how), *pieces_of(_lines(form.text), octets), b"\r\n--"),
            *(_hole("boundary"), _head("html", how), *pieces_of(_lines(form.html), octets), b"\r\n--"),
            *(_hole("boundary"), b"--\r\n.\r\n"),
        ]
    )
    return Frame(stencil, longest, frozenset(slot.name for slot in slots) - OURS, tuple(starting))


def _room(parts: Parts) -> int:
    """How many characters each of a customer's values may have for no line of the text to be too long."""
    room = LONGEST_LINE
    octets, weight = 0, 0
    for part in (*parts, "\n"):
        if isinstance(part, Slot):
            octets += OUR_LENGTH if part.name in OURS else len(part.default) * OCTETS[part.context]
            weight += 0 if part.name in OURS else OCTETS[part.context]
            continue
        first, *more = _unix(part).split("\n")
        octets += len(_octets(first))
        for line in more:
            room = min(room, (LONGEST_LINE - octets) // max(1, weight))
            octets, weight = len(_octets(line)), 0
    return room


def _lines(parts: Parts) -> Parts:
    """The text with the line ends of mail and its dots doubled (RFC 5321, 4.5.2); a slot's value has none of either."""
    made: list[str | Slot] = []
    for n, part in enumerate(parts):
        if isinstance(part, str):
            text = _unix(part).replace("\n.", "\n..").replace("\n", "\r\n")
            made.append("." + text if n == 0 and text.startswith(".") else text)
        else:
            made.append(part)
    return tuple(made)


def _starts_a_line(value: str) -> bool:
    """Neither with a dot of its own nor, being empty, with one that follows."""
    return bool(value) and not value.startswith(".")


def _hole(name: str) -> Hole:
    return Hole(name, "", _all_octets)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _header_octets(texts: Sequence[str]) -> list[bytes]:
    return [_on_one_line(text).encode("ascii", "replace") for text in texts]


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _all_octets(texts: Sequence[str]) -> list[bytes]:
    return [*map(_octets, texts)]


def _head(kind: str, how: str) -> bytes:
    return (f"\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {how}\r\n\r\n").encode()


def _boundary(message_id: str) -> str:
    return f"=_{message_id.replace('-', '')}"


def _message_id(form: Form, message_id: str) -> str:
    """The same whenever it is sent: mail systems that look for doubles know it by this."""
    return f"<{message_id}@{address_of(form.sender).rpartition('@')[2]}>"


@lru_cache(maxsize=1024)
def header_text(text: str) -> str:
    """A header's text: as it is, or in encoded words (RFC 2047) on as many lines as they need."""
    if PLAIN.fullmatch(text):
        return text
    words, piece = [], b""
    for character in _on_one_line(text):
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > WORD:
            words.append(piece)
            piece = b""
        piece += octets
    return "\r\n ".join(f"=?utf-8?B?{b64encode(word).decode()}?=" for word in [*words, piece])


@lru_cache(maxsize=1024)
def address_of(mailbox: str) -> str:
    """The bare address."""
    return parseaddr(mailbox)[1]


@lru_cache(maxsize=1024)
def _mailbox(mailbox: str) -> str:
    name, address = parseaddr(mailbox)
    if not name:
        return address
    if PLAIN.fullmatch(name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{header_text(name)} <{address}>"


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _body(text: str, eight_bit: bool) -> bytes:
    """A part's last header and its lines, dots doubled (RFC 5321, 4.5.2)."""
    octets = _octets(_unix(text))
    how = "7bit" if octets.isascii() else "8bit"
    if (how == "8bit" and not eight_bit) or max(map(len, octets.split(b"\n"))) > LONGEST_LINE:
        how, octets = "quoted-printable", b2a_qp(octets, istext=True)
    head = f"Content-Transfer-Encoding: {how}\r\n\r\n".encode()
    octets = octets.replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
    return head + (b"." + octets if octets.startswith(b".") else octets)

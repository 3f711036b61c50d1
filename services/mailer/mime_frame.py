"""The frame of a campaign's mails, as SMTP carries them (RFC 5322, RFC 2045): built once and filled for each mail. What
does not fit into it, by its letters or the length of its lines, is left to mime.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from services.mailer.mime_headers import boundary_of, header_text, mailbox_text, message_id_of, on_one_line
from services.mailer.provider import Form, Mails
from services.mailer.stencil import OURS, Columns, Hole, Stencil, pieces_of, ways
from shared.domain.templating import Parts, Slot

# RFC 5322, 2.1.1: no line over 998 octets.
LONGEST_LINE: Final = 998
# Octets that one character of a value may become where it is written: as it is, as a reference, percent-encoded.
OCTETS: Final = {"text": 4, "html": 6, "link": 12}
# How long values of ours can be: a signed text.
OUR_LENGTH: Final = 43
# Shorter names and sums than that would hardly ever fit.
SHORTEST: Final = 20


def framed(mails: Mails, date: str, *, eight_bit: bool) -> list[bytes | None]:
    """The mails in the frame of their form; None where one does not fit."""
    frame = _frame(mails.form, eight_bit)
    if frame is None:
        return [None] * len(mails)
    columns, ids = mails.columns, mails.columns["message_id"]
    headers = {
        "subject": [header_text(subject) for subject in columns["subject"]],
        "date": [date] * len(mails),
        "id": [message_id_of(mails.form, message_id) for message_id in ids],
        "boundary": [boundary_of(message_id) for message_id in ids],
    }
    texts = frame.stencil.filled({**columns, **headers}, len(mails))
    misfits = frame.misfits(columns)
    return [text if n not in misfits and (eight_bit or text.isascii()) else None for n, text in enumerate(texts)]


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
        headers += [as_octets(f"{name}: "), *pieces_of(parts, ways(_header_octets)), b"\r\n"]
    stencil = Stencil(
        [
            as_octets(f"From: {mailbox_text(form.sender)}\r\nTo: "),
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
        first, *more = unix(part).split("\n")
        octets += len(as_octets(first))
        for line in more:
            room = min(room, (LONGEST_LINE - octets) // max(1, weight))
            octets, weight = len(as_octets(line)), 0
    return room


def _lines(parts: Parts) -> Parts:
    """The text with the line ends of mail and its dots doubled (RFC 5321, 4.5.2); a slot's value has none of either."""
    made: list[str | Slot] = []
    for n, part in enumerate(parts):
        if isinstance(part, str):
            text = unix(part).replace("\n.", "\n..").replace("\n", "\r\n")
            made.append("." + text if n == 0 and text.startswith(".") else text)
        else:
            made.append(part)
    return tuple(made)


def _starts_a_line(value: str) -> bool:
    """Neither with a dot of its own nor, being empty, with one that follows."""
    return bool(value) and not value.startswith(".")


def _hole(name: str) -> Hole:
    return Hole(name, "", _all_octets)


def unix(text: str) -> str:
    """With a line feed alone at each line's end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _header_octets(texts: Sequence[str]) -> list[bytes]:
    return [on_one_line(text).encode("ascii", "replace") for text in texts]


def as_octets(text: str) -> bytes:
    """In UTF-8; half a surrogate pair is a question mark."""
    return text.encode("utf-8", "replace")


def _all_octets(texts: Sequence[str]) -> list[bytes]:
    return [*map(as_octets, texts)]


def _head(kind: str, how: str) -> bytes:
    return (f"\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {how}\r\n\r\n").encode()

"""Headers of mails (RFC 5322): texts in encoded words, mailboxes, and what names a mail."""

from __future__ import annotations

import re
from base64 import b64encode
from email.utils import parseaddr
from functools import lru_cache
from typing import Final

from services.mailer.provider import Form

# What of a header's text goes as it is: short, printable, and nothing that reads like an encoded word.
PLAIN: Final = re.compile(r"(?!.*=\?)[ -~]{0,60}")
# RFC 2047, 2: 75 characters an encoded word; 45 octets become 60 of them.
WORD: Final = 45


def boundary_of(message_id: str) -> str:
    """What stands between a mail's parts."""
    return f"=_{message_id.replace('-', '')}"


def message_id_of(form: Form, message_id: str) -> str:
    """The same whenever it is sent: mail systems that look for doubles know it by this."""
    return f"<{message_id}@{address_of(form.sender).rpartition('@')[2]}>"


@lru_cache(maxsize=1024)
def header_text(text: str) -> str:
    """A header's text: as it is, or in encoded words (RFC 2047) on as many lines as they need."""
    if PLAIN.fullmatch(text):
        return text
    words, piece = [], b""
    for character in on_one_line(text):
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
def mailbox_text(mailbox: str) -> str:
    """`Name <address>`, the name quoted or in encoded words."""
    name, address = parseaddr(mailbox)
    if not name:
        return address
    if PLAIN.fullmatch(name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{header_text(name)} <{address}>"


def on_one_line(text: str) -> str:
    """A header ends with its line: a value with another one in it would begin a header of its own."""
    return text if text.isprintable() else " ".join("".join(c if c.isprintable() else " " for c in text).split())

"""A mail as it is handed in: its shape, and what Resend would refuse about it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from services.local.sandbox import body
from services.local.sandbox.answer import RefusedError, invalid

MOST_RECIPIENTS = 50
# `email@example.com` or `Name <email@example.com>`, with a dot in the domain; no quadratic backtracking.
_MAILBOX = r"[^\x00-\x20\x7f<>@,;:]+@[^\x00-\x20\x7f<>@,;:.]+(?:\.[^\x00-\x20\x7f<>@,;:.]+)+"
_ADDRESS = re.compile(rf"(?:[^<>\r\n\x00]*<{_MAILBOX}>|{_MAILBOX})")
_LONGEST_ADDRESS = 1_000
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_HEADER = re.compile(r"[!-9;-~]+")  # RFC 5322, 2.2: printable ASCII but the colon


class Tag(msgspec.Struct):
    """A name and a value that come back with every webhook about the mail."""

    name: str
    value: str = ""


class Attachment(msgspec.Struct, omit_defaults=True):
    """A file: base64 or a list of bytes in `content`, or an address in `path`."""

    filename: str | None = None
    content: Any = None
    path: str | None = None
    content_type: str | None = None
    content_id: str | None = None
    inline_content_id: str | None = None


class Mail(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"sender": "from"}):
    """The body of `POST /emails` (https://resend.com/docs/api-reference/emails/send-email)."""

    sender: str = ""
    to: list[str] | str = []
    subject: str = ""
    html: str | None = None
    text: str | None = None
    cc: list[str] | str | None = None
    bcc: list[str] | str | None = None
    reply_to: list[str] | str | None = None
    headers: dict[str, str] | None = None
    tags: list[Tag] | None = None
    attachments: list[Attachment] | None = None
    scheduled_at: str | None = None
    template: Any = None

    @property
    def recipients(self) -> set[str]:
        """The bare addresses, in lower case, of all who get it."""
        return {mailbox(address) for field in (self.to, self.cc, self.bcc) if field for address in as_list(field)}

    @property
    def tag_values(self) -> dict[str, str]:
        return {tag.name: tag.value for tag in self.tags or ()}


def as_list(addresses: list[str] | str | None) -> list[str]:
    if isinstance(addresses, str):
        return [addresses] if addresses else []
    return addresses or []


def mailbox(address: str) -> str:
    """`Ann <Ann@Example.com>` -> `ann@example.com`."""
    return address.rpartition("<")[2].removesuffix(">").lower()


def accept(raw: bytes | msgspec.Raw) -> Mail:
    """The mail in `raw`. Raises RefusedError with what Resend answers (422) where it cannot be sent."""
    mail: Mail = body.decode(raw, Mail)
    mail.to = as_list(mail.to)
    _refuse_missing(mail)
    _refuse_addresses("from", [mail.sender])
    _refuse_addresses("to", mail.to)
    for field, addresses in (("cc", mail.cc), ("bcc", mail.bcc), ("reply_to", mail.reply_to)):
        if addresses:
            _refuse_addresses(field, as_list(addresses))
    if "\n" in mail.subject or "\r" in mail.subject:
        raise invalid("The `\\n` is not allowed in the `subject` field.")
    for tag in mail.tags or ():
        if not (_TAG.fullmatch(tag.name) and (not tag.value or _TAG.fullmatch(tag.value))):
            raise invalid("Tags should only contain ASCII letters, numbers, underscores, or dashes.")
    for name, value in (mail.headers or {}).items():
        if not _HEADER.fullmatch(name) or "\n" in value or "\r" in value:
            raise invalid(f"Invalid `headers` field. {name!r} is not a header on one line.")
    return mail


def _refuse_missing(mail: Mail) -> None:
    if mail.template is not None:
        raise invalid("Invalid `template` field. The sandbox keeps no templates: send `html` or `text`.")
    for field, given in (("from", mail.sender), ("to", mail.to), ("subject", mail.subject)):
        if not given:
            raise RefusedError(422, "missing_required_field", f"Missing `{field}` field.")
    if not mail.html and not mail.text:
        raise RefusedError(422, "missing_required_field", "Missing `html` or `text` field.")


def _refuse_addresses(field: str, addresses: list[str]) -> None:
    if len(addresses) > MOST_RECIPIENTS:
        raise invalid(f"The `{field}` field takes at most {MOST_RECIPIENTS} addresses.")
    for address in addresses:
        if len(address) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
            raise invalid(
                f"Invalid `{field}` field. The email address needs to follow the "
                "`email@example.com` or `Name <email@example.com>` format."
            )

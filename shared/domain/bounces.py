"""Bounces of mail that went by SMTP: the signed address that they come back to (VERP), and what they report (RFC 3464).

The address is the return path with +TOKEN before its @: 42 letters and digits, that servers may write in capitals. The
recipient's own server is told of it, so a token speaks for one mail only.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32decode, b32encode
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from hashlib import blake2b, sha512
from typing import Final, NamedTuple
from uuid import UUID

ID_BYTES: Final = 16
MAC_BYTES: Final = 10
TOKEN: Final = re.compile(r"\+([a-z2-7]{42})@", re.IGNORECASE)
UNSUBSCRIBE: Final = re.compile(r"/u/([a-z0-9_-]+\.[A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])")
# Where servers say whom a mail was for, the envelope's recipient among them.
ADDRESSED: Final = ("To", "Delivered-To", "X-Original-To", "Envelope-To")
STATUS: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# RFC 3463: a full mailbox, a message too long for it, and trouble of servers, routes, contents and policies. They say
# nothing about the address.
PASSING: Final = re.compile(r"5\.(?:2\.[23]|[3467]\.\d+)")
LONGEST: Final = 500
# So many of a customer's mails in a row that came back, if only for now, speak of the address after all.
IN_A_ROW: Final = 7


class Bounce(NamedTuple):
    """What a report says: `token` is the return path's, or `link` that of the unsubscribe link in the mail it brings
    back. `hard`: the address takes no mail, now or later.
    """

    token: str | None
    link: str | None
    hard: bool
    why: str


def bounce_token(secret: str, organization_id: str, message_id: str) -> str:
    """What stands in the return path of one mail."""
    mail = UUID(message_id).bytes
    return b32encode(mail + _mac(secret, organization_id, mail)).decode().rstrip("=").lower()


def read_bounce_token(secret: str, token: str, organizations: Iterable[str]) -> tuple[str, UUID] | None:
    """The organization's and the mail's id, if the token was signed for one of these organizations."""
    raw = b32decode(token.upper() + "=" * (-len(token) % 8))
    mail, mac = raw[:ID_BYTES], raw[ID_BYTES:]
    signed = (each for each in organizations if hmac.compare_digest(mac, _mac(secret, each, mail)))
    organization_id = next(signed, None)
    return None if organization_id is None else (organization_id, UUID(bytes=mail))


def read_bounce(raw: bytes) -> Bounce | None:
    """What a mail reports; None when it reports no failed delivery: a delay, an answer of somebody on holiday."""
    mail = BytesParser(policy=compat32).parsebytes(raw)
    parts = list(mail.walk())
    failed = next((fields for part in parts for fields in _recipients(part) if _is_failed(fields)), None)
    if failed is None:
        return None
    status = str(failed.get("Status", ""))
    diagnosis = " ".join(str(failed.get("Diagnostic-Code", "")).split())
    # Many servers put the code that they were given into the diagnosis, and a general one beside it.
    code = _code(status, diagnosis)
    returned = "\n".join(_header_text(part) for part in parts if part is not mail)
    addressed = "\n".join(str(value) for name in ADDRESSED for value in mail.get_all(name, []))
    token = TOKEN.search(addressed) or TOKEN.search(returned)
    link = UNSUBSCRIBE.search(returned)
    hard = code.startswith("5") and not PASSING.fullmatch(code)
    why = f"{code} {diagnosis}".strip() or "no reason given"
    return Bounce(token and token[1].lower(), link and link[1], hard, "".join(filter(str.isprintable, why))[:LONGEST])


def _recipients(part: Message) -> list[Message]:
    """The fields that a report has for each recipient."""
    if part.get_content_type() != "message/delivery-status" or not isinstance(part.get_payload(), list):
        return []
    return [fields for fields in part.get_payload() if isinstance(fields, Message) and "Action" in fields]


def _is_failed(fields: Message) -> bool:
    return str(fields["Action"]).split(";")[0].strip().lower() == "failed"


def _code(status: str, diagnosis: str) -> str:
    found = [match[0] for match in STATUS.finditer(f"{status} {diagnosis}")]
    general = {"5.0.0", "4.0.0"}
    return next((code for code in found if code not in general), found[0] if found else "")


def _header_text(part: Message) -> str:
    """The headers of the mail that came back, unfolded: as a part with them, or as the mail itself."""
    text = "\n".join(f"{name}: {value}" for name, value in part.items())
    if part.get_content_type() == "text/rfc822-headers":
        text += "\n" + str(part.get_payload())
    return re.sub(r"\r?\n[ \t]+", "", text)


def _mac(secret: str, organization_id: str, mail: bytes) -> bytes:
    key = sha512(secret.encode()).digest()
    octets = mail + organization_id.encode("utf-8", "surrogatepass")
    return blake2b(octets, key=key, digest_size=MAC_BYTES, person=b"bounce").digest()

"""Links in mails that need no login: who they speak for is signed into them.

One MAC a mail is cut into a piece for each purpose, so that tens of thousands of mails a second can be signed, and yet
a link that a customer passes on (a click's) opens neither their preferences nor the way out. The MAC is keyed BLAKE2b
(RFC 7693): a quarter of an HMAC's time.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from binascii import b2a_base64
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, get_args
from uuid import UUID

from shared.errors import InvalidError

Purpose = Literal["unsubscribe", "preferences", "track", "verify"]
PIECE: Final = 16  # bytes: nobody guesses 128 bits at a web server
PURPOSES: Final[dict[Purpose, slice]] = {
    purpose: slice(PIECE * n, PIECE * (n + 1))
    for n, purpose in enumerate(get_args(Purpose))  # a digest has just these four
}
ID_BYTES: Final = 16
TEXT: Final = 43  # characters of an id and a piece
URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def sign_all(secret: str, organization_id: str, message_ids: Iterable[str], *purposes: Purpose) -> list[list[str]]:
    """For each purpose a column of what follows the organization's id and the dot in the links of these mails: 43
    characters, letters, digits, - and _.
    """
    key, organization = _key(secret), _octets(organization_id)
    # One conversion for all of them: an id, a piece and a byte behind them end at a multiple of four characters.
    ids = bytes.fromhex("".join(message_ids).replace("-", ""))
    mails = [ids[n : n + ID_BYTES] for n in range(0, len(ids), ID_BYTES)]
    macs = [blake2b(mail + organization, key=key).digest() for mail in mails]
    columns = []
    for purpose in purposes:
        piece = PURPOSES[purpose]
        text = _text(b"".join([b"%b%b\0" % (mail, mac[piece]) for mail, mac in zip(mails, macs, strict=True)]))
        columns.append([text[n : n + TEXT] for n in range(0, len(text), TEXT + 1)])
    return columns


def sign_link(secret: str, purpose: Purpose, organization_id: str, message_id: str) -> str:
    """A URL-safe token that speaks for one mail: the organization's id, a dot and 43 characters."""
    return f"{organization_id}.{sign_all(secret, organization_id, [message_id], purpose)[0][0]}"


def read_link(secret: str, purpose: Purpose, token: str) -> tuple[str, str]:
    """The organization's and the mail's id out of a token signed for `purpose`.

    Raises InvalidError for what was not signed so, whatever it looks like.
    """
    organization_id, _, text = token.partition(".")
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        raise _refused() from None
    # Base64 leaves spare bits: one mail has one token, so only its exact text is taken.
    if len(raw) != ID_BYTES + PIECE or _text(raw) != text:
        raise _refused()
    mail, piece = raw[:ID_BYTES], raw[ID_BYTES:]
    if not hmac.compare_digest(piece, _mac(secret, organization_id, mail)[PURPOSES[purpose]]):
        raise _refused()
    return organization_id, str(UUID(bytes=mail))


def _mac(secret: str, organization_id: str, mail: bytes) -> bytes:
    # The mail's part has one length, so no two pairs of ids give the same bytes.
    return blake2b(mail + _octets(organization_id), key=_key(secret)).digest()


def _octets(organization_id: str) -> bytes:
    return organization_id.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return hashlib.sha512(secret.encode()).digest()


def _text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(URL_SAFE, b"=").decode()


def _refused() -> InvalidError:
    return InvalidError("This link is incomplete or not ours. Open it again from the mail itself.", "token", "bad_link")

"""Links in mails that need no login: who they speak for is signed into them."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from shared.errors import InvalidError

SEPARATOR = "\x00"  # no id holds it, so no two pairs of ids give the same token


def sign_link(secret: str, purpose: str, organization_id: str, message_id: str) -> str:
    """A URL-safe token for one message and one purpose, such as "unsubscribe", "preferences" or "open"."""
    payload = SEPARATOR.join((organization_id, message_id)).encode()
    return f"{_text(payload)}.{_text(_mac(secret, purpose, payload))}"


def read_link(secret: str, purpose: str, token: str) -> tuple[str, str]:
    """The organization's and the message's id out of a token signed for `purpose`.

    Raises InvalidError for what was not signed so, whatever it looks like.
    """
    payload_text, _, mac_text = token.partition(".")
    try:
        payload, mac = _bytes(payload_text), _bytes(mac_text)
    except (Base64Error, ValueError):
        raise _refused() from None
    # Base64 leaves spare bits: one message has one token, so only its exact text is taken.
    if _text(payload) != payload_text or _text(mac) != mac_text:
        raise _refused()
    if not hmac.compare_digest(mac, _mac(secret, purpose, payload)):
        raise _refused()
    organization_id, _, message_id = payload.decode().partition(SEPARATOR)
    return organization_id, message_id


def _mac(secret: str, purpose: str, payload: bytes) -> bytes:
    return hmac.digest(secret.encode(), purpose.encode() + SEPARATOR.encode() + payload, "sha256")


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def _refused() -> InvalidError:
    return InvalidError("This link is incomplete or not ours. Open it again from the mail itself.", "token", "bad_link")

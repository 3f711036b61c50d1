"""The finished mails: a content filled for its customers, with links that are signed for each message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from services.mailer.provider import Form, Mail, form_of
from shared.domain.links import Purpose, Signer
from shared.domain.templating import Parts, Slot, escaped, fill_line
from shared.mail.content import Content

# Where each link leads, and what it is signed for.
LINKS: Final[dict[str, tuple[str, Purpose]]] = {
    "unsubscribe_url": ("u", "unsubscribe"),
    "preferences_url": ("p", "preferences"),
    "click_url": ("c", "track"),
    "open_url": ("o", "track"),
    "verify_url": ("v", "verify"),
}
UNSUBSCRIBE: Final = Slot("unsubscribe_url", "", "text")
MESSAGE: Final = Slot("message_id", "", "text")


class Addressed(Protocol):
    """Whom a mail goes to, and with which values; `variant` tells which subject of an A/B test."""

    @property
    def message_id(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def variables(self) -> Mapping[str, str]: ...
    @property
    def variant(self) -> int | None: ...


class Writer:
    """Fills contents, with links that are signed for each message."""

    def __init__(self, secret: str, public_url: str) -> None:
        self._secret = secret
        self._public_url = public_url.rstrip("/")

    def mails(self, content: Content, organization_id: str, letters: Iterable[Addressed], kind: str = "") -> list[Mail]:
        """The finished mails. The same arguments always give the same bytes."""
        # One click unsubscribes, without a page in between (RFC 8058).
        headers: dict[str, Parts] = {
            "List-Unsubscribe": ("<", UNSUBSCRIBE, ">"),
            "List-Unsubscribe-Post": ("List-Unsubscribe=One-Click",),
            "X-Regulars-Message": (MESSAGE,),
        }
        if kind:
            headers["X-Regulars-Kind"] = (kind,)
        form = self._form(content, organization_id, headers)
        subjects: dict[int | None, Parts] = {
            n: self._linked(parts, organization_id) for n, parts in enumerate(content.alternatives)
        }
        subjects[None] = self._linked(content.subject, organization_id)
        signer = Signer(self._secret, organization_id, "unsubscribe", "preferences", "track")
        mails = []
        for letter in letters:
            unsubscribe, preferences, track = signer.sign(letter.message_id)
            values = {
                **letter.variables,
                "message_id": letter.message_id,
                "to": letter.email,
                "unsubscribe": unsubscribe,
                "preferences": preferences,
                "track": track,
            }
            values["subject"] = fill_line(subjects[letter.variant], values)
            mails.append(Mail(form, values))
        return mails

    def verification(self, content: Content, organization_id: str, letter: Addressed) -> Mail:
        """A mail that asks for its address to be confirmed: nothing that one could unsubscribe from."""
        headers: dict[str, Parts] = {"X-Regulars-Message": (MESSAGE,), "X-Regulars-Kind": ("verification",)}
        (verify,) = Signer(self._secret, organization_id, "verify").sign(letter.message_id)
        values = {"message_id": letter.message_id, "to": letter.email, "verify": verify}
        values["subject"] = fill_line(content.subject, values)
        return Mail(self._form(content, organization_id, headers), values)

    def _form(self, content: Content, organization_id: str, headers: Mapping[str, Parts]) -> Form:
        linked = [(name, self._linked(parts, organization_id)) for name, parts in headers.items()]
        html, text = self._linked(content.html, organization_id), self._linked(content.text, organization_id)
        return form_of(organization_id, content.sender, html, text, tuple(linked))

    def _linked(self, parts: Parts, organization_id: str) -> Parts:
        """The text with only the signed ends of its links left to fill in."""
        linked: list[str | Slot] = []
        beginning = ""  # the rest of the text before a link and the link's own beginning are one part
        for part in parts:
            if isinstance(part, str):
                beginning += part
                continue
            place, purpose = LINKS.get(part.name, (None, part.name))
            if place is not None:
                beginning += escaped(f"{self._public_url}/{place}/{organization_id}.", part.context)
            linked += [beginning] if beginning else []
            linked.append(part if place is None else Slot(purpose, "", "text"))
            beginning = ""
        return (*linked, beginning) if beginning else tuple(linked)

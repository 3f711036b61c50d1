"""The finished mails: a content filled for its customers, with links that are signed for each message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from services.mailer.batches import Letters
from services.mailer.provider import Form, Mails, form_of
from services.mailer.stencil import Columns
from shared.domain.links import Purpose, sign_all
from shared.domain.templating import Parts, Slot, escaped, fill_lines
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


class Writer:
    """Fills contents, with links that are signed for each message."""

    def __init__(self, secret: str, public_url: str) -> None:
        self._secret = secret
        self._public_url = public_url.rstrip("/")

    def mails(self, content: Content, organization_id: str, letters: Letters, kind: str = "") -> Mails:
        """The finished mails. The same arguments always give the same bytes."""
        # One click unsubscribes, without a page in between (RFC 8058).
        headers: dict[str, Parts] = {
            "List-Unsubscribe": ("<", UNSUBSCRIBE, ">"),
            "List-Unsubscribe-Post": ("List-Unsubscribe=One-Click",),
            "X-Regulars-Message": (MESSAGE,),
        }
        if kind:
            headers["X-Regulars-Kind"] = (kind,)
        purposes: tuple[Purpose, ...] = ("unsubscribe", "preferences", "track")
        signed = sign_all(self._secret, organization_id, letters.message_ids, *purposes)
        columns: dict[str, Sequence[str]] = {
            **letters.variables,
            "message_id": letters.message_ids,
            "to": letters.emails,
            **dict(zip(purposes, signed, strict=True)),
        }
        columns["subject"] = self._subjects(content, organization_id, letters.variants, columns)
        return Mails(self._form(content, organization_id, headers), columns)

    def verification(self, content: Content, organization_id: str, letters: Letters) -> Mails:
        """Mails that ask for their address to be confirmed: nothing that one could unsubscribe from."""
        headers: dict[str, Parts] = {"X-Regulars-Message": (MESSAGE,), "X-Regulars-Kind": ("verification",)}
        (verify,) = sign_all(self._secret, organization_id, letters.message_ids, "verify")
        columns = {"message_id": letters.message_ids, "to": letters.emails, "verify": verify}
        columns["subject"] = fill_lines(content.subject, columns, len(letters))
        return Mails(self._form(content, organization_id, headers), columns)

    def _subjects(
        self, content: Content, organization_id: str, variants: Sequence[int | None], columns: Columns
    ) -> list[str]:
        """Each mail's line, of those of an A/B test the one that it belongs to."""
        lines: dict[int | None, list[str]] = {}
        for variant in set(variants):
            parts = content.subject if variant is None else content.alternatives[variant]
            lines[variant] = fill_lines(self._linked(parts, organization_id), columns, len(variants))
        return [lines[variant][n] for n, variant in enumerate(variants)]

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

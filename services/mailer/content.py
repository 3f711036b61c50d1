"""The finished mail: a content filled for one customer, with links that are signed for the message."""

from __future__ import annotations

from services.mailer.provider import Mail
from shared.domain.links import sign_links
from shared.mail.content import Content


class Writer:
    """Fills contents, with links that are signed for each message."""

    def __init__(self, secret: str, public_url: str) -> None:
        self._secret = secret
        self._public_url = public_url.rstrip("/")

    def mail(
        self,
        content: Content,
        organization_id: str,
        message_id: str,
        email: str,
        variables: dict[str, str],
        *,
        variant: int | None = None,
    ) -> Mail:
        """The finished mail, with that subject of an A/B test. The same arguments always give the same bytes."""
        leave, prefer, track = sign_links(
            self._secret, organization_id, message_id, "unsubscribe", "preferences", "track"
        )
        unsubscribe = f"{self._public_url}/u/{leave}"
        values = {
            **variables,
            "unsubscribe_url": unsubscribe,
            "preferences_url": f"{self._public_url}/p/{prefer}",
            "click_url": f"{self._public_url}/c/{track}",
            "open_url": f"{self._public_url}/o/{track}",
        }
        filled = content.filled(values, variant)
        return Mail(
            sender=content.sender,
            to=email,
            subject=filled.subject,
            html=filled.html,
            text=filled.text,
            # One click unsubscribes, without a page in between (RFC 8058).
            headers={
                "List-Unsubscribe": f"<{unsubscribe}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                "X-Regulars-Message": message_id,
            },
            tags={"organization_id": organization_id, "message_id": message_id},
        )

    def verification(self, content: Content, organization_id: str, mail_id: str, email: str) -> Mail:
        """A mail that asks for its address to be confirmed: nothing that one could unsubscribe from."""
        (token,) = sign_links(self._secret, organization_id, mail_id, "verify")
        filled = content.filled({"verify_url": f"{self._public_url}/v/{token}"})
        return Mail(
            sender=content.sender,
            to=email,
            subject=filled.subject,
            html=filled.html,
            text=filled.text,
            headers={"X-Regulars-Message": mail_id, "X-Regulars-Kind": "verification"},
            tags={"organization_id": organization_id, "message_id": mail_id},
        )

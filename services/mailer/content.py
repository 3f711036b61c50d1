"""The finished mail: a content filled for one customer, with links that are signed for the message."""

from __future__ import annotations

from services.mailer.provider import Mail
from shared.domain.links import sign_link
from shared.mail.content import Content


class Writer:
    """Fills contents, with links that are signed for each message."""

    def __init__(self, secret: str, public_url: str) -> None:
        self._secret = secret
        self._public_url = public_url.rstrip("/")

    def mail(
        self, content: Content, organization_id: str, message_id: str, email: str, variables: dict[str, str]
    ) -> Mail:
        """The finished mail. The same arguments always give the same bytes."""
        token = sign_link(self._secret, "unsubscribe", organization_id, message_id)
        unsubscribe = f"{self._public_url}/u/{token}"
        # One page serves both so far: the only choice that it offers is to leave.
        values = {**variables, "unsubscribe_url": unsubscribe, "preferences_url": unsubscribe}
        filled = content.filled(values)
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

"""Which provider carries the mail, and how fast it may."""

from __future__ import annotations

from typing import Final

from services.mailer.provider import Provider
from services.mailer.rate import Rate
from services.mailer.resend_provider import ResendProvider
from services.mailer.smtp_line import server_of
from services.mailer.smtp_provider import SmtpProvider, signed_return_path, to_sender
from shared.errors import SetupError
from shared.settings import MailerSettings

# The sandbox has no limit that matters; the row still carries a pause that it asked for.
SANDBOX_PER_SECOND: Final = 1_000.0
MAILS_PER_CALL: Final = 100


def provider_of(settings: MailerSettings) -> Provider:
    """The provider that the settings name. Raises SetupError where they lack something."""
    match settings.mail_provider:
        case "sandbox":
            return ResendProvider("sandbox", settings.sandbox_url.rstrip("/"))
        case "smtp":
            server = server_of(settings.smtp_url.get_secret_value().strip(), settings.smtp_tls, settings.smtp_ca_file)
            path = settings.smtp_return_path
            returns = signed_return_path(path, settings.secret.get_secret_value()) if path else to_sender
            return SmtpProvider(server, settings.smtp_connections, returns)
    key = settings.resend_api_key.get_secret_value().strip()
    if not key:
        raise SetupError("Setting RESEND_API_KEY is missing: give Resend's API key, or REGULARS_MAIL_PROVIDER=sandbox.")
    return ResendProvider(key)


def rate_of(settings: MailerSettings) -> Rate:
    """Its limit, shared by all mailers."""
    per_second = {
        "sandbox": SANDBOX_PER_SECOND,
        "smtp": settings.smtp_mails_per_second / MAILS_PER_CALL,
        "resend": settings.resend_requests_per_second,
    }
    return Rate(settings.mail_provider, per_second[settings.mail_provider], MAILS_PER_CALL)

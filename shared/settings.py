"""Every setting of every service: read from the environment, checked at start, explained by `regulars settings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError

from shared.errors import SetupError
from shared.kafka_access import KafkaAccess
from shared.refusals import said

Port = Annotated[int, Field(ge=0, le=65535)]


def _database(value: str) -> str:
    if not value.startswith("postgresql://"):
        raise ValueError("must be a PostgreSQL URL, postgresql://user:password@host/name")
    return value


LONGEST_MAILBOX = 21


def _web(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value


def _mailbox(value: str) -> str:
    local, at, domain = value.rpartition("@")
    # RFC 5321 allows 64 characters before the @, of which the token takes 43.
    if value and not (local and at and domain and value.isascii() and len(local) <= LONGEST_MAILBOX):
        raise ValueError(f"must be an address with at most {LONGEST_MAILBOX} characters before its @")
    return value


WebAddress = Annotated[str, AfterValidator(_web)]


class Settings(KafkaAccess):
    """What all services share."""

    database: Annotated[str, AfterValidator(_database)] = Field(
        "postgresql://regulars@127.0.0.1:5432/regulars",
        description="PostgreSQL URL, postgresql://user:password@host/name; ?sslmode=... as libpq has it.",
    )
    topic_prefix: str = Field("", description="Put before every topic and group name; tests keep apart by it.")
    partitions: int = Field(
        12, ge=1, le=1000, description="Partitions of a topic when it is created: the scale's ceiling."
    )
    replication: int = Field(1, ge=1, le=5, description="Replicas of a topic when it is created (3 in production).")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    metrics_port: Port = Field(0, description="Port of /metrics, /healthz and /readyz; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity logged.")
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for people.")
    secret: SecretStr = Field(
        SecretStr("change-me-in-production"), description="Signs links in mails and console sessions; keep it stable."
    )
    public_url: WebAddress = Field(
        "http://127.0.0.1:8010", description="Where ingest is reached from outside; links in mails."
    )


class IngestSettings(Settings):
    """Everything that arrives from outside."""

    ingest_port: Port = Field(8010, description="Port of the HTTP API for terminals.")
    rate_limit: int = Field(
        20_000, ge=1, description="Events a second that one key may publish, averaged over ten seconds."
    )
    max_body_bytes: int = Field(16_000_000, ge=1_000, description="Largest request body; larger ones get 413.")
    acknowledge_seconds: float = Field(10.0, gt=0, description="How long to wait for Kafka before answering 503.")
    hold_seconds: float = Field(
        600.0, gt=0, description="How long a coupon is held for a sale before it is free again."
    )
    too_soon_seconds: float = Field(
        1.0,
        ge=0,
        description="An open or a click sooner after the delivery is a machine's; 0 on one machine with the sandbox.",
    )
    webhook_secret: SecretStr = Field(
        SecretStr("whsec_cmVndWxhcnMtc2FuZGJveA=="), description="Secret of Resend's webhooks (whsec_...)."
    )


class SegmenterSettings(Settings):
    """Ledger, stats, memberships."""

    lanes: int = Field(
        3,
        ge=1,
        le=64,
        description="Batches counted side by side in this process, each by its own thread and connection.",
    )
    batch_events: int = Field(5_000, ge=1, le=50_000, description="Most records that one transaction takes.")
    dead_letter_share: float = Field(
        0.5, gt=0, le=1, description="Stop consuming when more than this share of the last records fail; 1 never stops."
    )
    dead_letter_window: int = Field(2_000, ge=10, description="Over how many of the last records that share is taken.")
    instance: str = Field(
        "segmenter-0", description="Stable name of this process, so that a restart keeps its partitions."
    )


class MailerSettings(Settings):
    """Planning and sending of mail."""

    mail_provider: Literal["sandbox", "resend", "smtp"] = Field("sandbox", description="Where mail goes.")
    sandbox_url: WebAddress = Field("http://127.0.0.1:8030", description="The sandbox's address, for provider sandbox.")
    resend_api_key: SecretStr = Field(
        SecretStr(""),
        description="Resend's API key.",
        validation_alias=AliasChoices("RESEND_API_KEY", "resend_api_key"),
    )
    resend_from_email: str = Field(
        "",
        description="Sender address where the organization gives none; in the sandbox hello@sandbox.example if empty.",
        validation_alias=AliasChoices("RESEND_FROM_EMAIL", "resend_from_email"),
    )
    smtp_url: SecretStr = Field(
        SecretStr(""),
        description="The SMTP server, smtp://user:password@host:587 or smtps://user:password@host:465.",
    )
    smtp_tls: Literal["required", "offered", "off"] = Field(
        "required", description="STARTTLS for smtp://: always, only when the server offers it, or never."
    )
    smtp_ca_file: str = Field(
        "", description="PEM file with the authority of the SMTP server's certificate; empty: the machine's own list."
    )
    smtp_connections: int = Field(8, ge=1, le=100, description="Connections that each sender keeps to the SMTP server.")
    smtp_mails_per_second: float = Field(1_000.0, gt=0, description="SMTP's rate limit, shared by all mailers.")
    smtp_return_path: Annotated[str, AfterValidator(_mailbox)] = Field(
        "",
        description="Where bounces go, bounces@example.com: each mail's with +TOKEN before the @ (VERP), for "
        "`regulars bounce`; empty: to the sender.",
    )
    senders: int = Field(
        2, ge=1, le=16, description="Calls of the provider side by side in this process, each by its own thread."
    )
    resend_requests_per_second: float = Field(2.0, gt=0, description="Resend's rate limit, shared by all mailers.")
    instance: str = Field(
        "mailer-0", description="Stable name of this process, so that a restart keeps its partitions."
    )

    @property
    def from_email(self) -> str:
        """The sender where the organization gives none. Nothing leaves the sandbox, so there it need be no real one."""
        return self.resend_from_email or ("hello@sandbox.example" if self.mail_provider == "sandbox" else "")


class AdminSettings(Settings):
    """API and console for marketers."""

    admin_port: Port = Field(8020, description="Port of the admin API and console.")


SERVICES: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "segmenter": SegmenterSettings,
    "mailer": MailerSettings,
    "admin": AdminSettings,
}

S = TypeVar("S", bound=KafkaAccess)


def load(kind: type[S], **given: Any) -> S:
    """The settings of a service, from the environment; `given` wins.

    Raises SetupError with one line that names the variable, its value and what is wrong.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # several that do not fit together: it names them
            raise SetupError(f"{said(first)} `regulars settings` explains each.") from error
        name = str(first["loc"][0])
        raise SetupError(
            f"Setting {variable_of(kind, name)} is wrong: {said(first)} "
            f"(given: {'a secret' if name == 'database' else repr(first['input'])}). "
            "`regulars settings` explains each."
        ) from error


def recorded(environment: Mapping[str, str]) -> KafkaAccess:
    """Access to Kafka as the settings of an installation have it, see `variables`. Raises SetupError."""
    names = {name: variable_of(KafkaAccess, name) for name in KafkaAccess.model_fields}
    return load(KafkaAccess, **{name: environment[each] for name, each in names.items() if each in environment})


def variable_of(kind: type[KafkaAccess], name: str) -> str:
    """The environment variable of a setting: REGULARS_KAFKA for kafka, RESEND_API_KEY for itself."""
    field = kind.model_fields.get(name)
    if field is not None and isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return name if name.isupper() else f"REGULARS_{name.upper()}"

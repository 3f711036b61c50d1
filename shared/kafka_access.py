"""How clients get into Kafka: its address, TLS and SASL. Imports no client: kafka-python and aiokafka take the same."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import SetupError

BOOTSTRAP = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s:,\[\]]+):\d{1,5}")


def _addresses(value: str) -> str:
    if not all(BOOTSTRAP.fullmatch(each) for each in value.split(",")):
        raise ValueError("must be host:port, or several with commas between")
    return value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value  # Kafka's own clients write SASL_SSL


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _file(value: str) -> str:
    """Absolute: a child process of `regulars up` works in another directory."""
    if not value:
        return value
    path = Path(value).expanduser().absolute()
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise ValueError(f"must name a file that can be read, which this cannot: {error.strerror}") from None


File = Annotated[str, AfterValidator(_file)]


class KafkaAccess(BaseSettings):
    """Settings that every client of Kafka needs."""

    model_config = SettingsConfigDict(env_prefix="REGULARS_", extra="ignore", populate_by_name=True)

    kafka: Annotated[str, AfterValidator(_addresses)] = Field(
        "127.0.0.1:9092", description="Kafka's bootstrap servers, host:port, comma-separated."
    )
    kafka_security_protocol: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], BeforeValidator(_lower)
    ] = Field("plaintext", description="How to speak to Kafka: ssl for TLS, sasl for a user name and a password.")
    kafka_sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)] = (
        Field("PLAIN", description="How to log in to Kafka, for sasl_ssl and sasl_plaintext.")
    )
    kafka_username: str = Field("", description="User name at Kafka, for sasl_ssl and sasl_plaintext; or an API key.")
    kafka_password: SecretStr = Field(SecretStr(""), description="Its password; or the API key's secret.")
    kafka_ca_file: File = Field(
        "", description="PEM file with the authority of Kafka's certificate; empty: the machine's own list."
    )
    kafka_certificate_file: File = Field(
        "", description="PEM file with this client's own certificate, where Kafka asks for one (mutual TLS)."
    )
    kafka_key_file: File = Field(
        "", description="PEM file with that certificate's key, unencrypted; empty: it is in the same file."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        misfit = _misfit(self)
        if misfit is not None:
            raise ValueError(misfit)
        return self


def _misfit(access: KafkaAccess) -> str | None:
    protocol = f"REGULARS_KAFKA_SECURITY_PROTOCOL is {access.kafka_security_protocol}"
    login = {
        "REGULARS_KAFKA_USERNAME": bool(access.kafka_username),
        "REGULARS_KAFKA_PASSWORD": bool(access.kafka_password.get_secret_value()),
    }
    files = {
        "REGULARS_KAFKA_CA_FILE": bool(access.kafka_ca_file),
        "REGULARS_KAFKA_CERTIFICATE_FILE": bool(access.kafka_certificate_file),
        "REGULARS_KAFKA_KEY_FILE": bool(access.kafka_key_file),
    }
    lacking = [name for name, given in login.items() if not given]
    if access.kafka_security_protocol.startswith("sasl") and lacking:
        return f"{protocol}, which needs {' and '.join(lacking)}."
    if not access.kafka_security_protocol.startswith("sasl") and len(lacking) < len(login):
        return f"{protocol}, which takes no user name and no password: did you mean sasl_ssl?"
    if not access.kafka_security_protocol.endswith("ssl"):
        unused = [name for name, given in files.items() if given]
        return f"{protocol}, which takes no {unused[0]}: did you mean ssl or sasl_ssl?" if unused else None
    if access.kafka_key_file and not access.kafka_certificate_file:
        return "REGULARS_KAFKA_KEY_FILE needs REGULARS_KAFKA_CERTIFICATE_FILE, the certificate of that key."
    try:
        tls_context(access)
    except SetupError as error:
        return str(error)
    return None


def plain(bootstrap: str) -> KafkaAccess:
    """Access to a broker that asks for nothing, whatever the environment says."""
    return KafkaAccess.model_construct(kafka=bootstrap)


def client_arguments(access: KafkaAccess) -> dict[str, Any]:
    """What every client takes, of kafka-python and of aiokafka alike: where Kafka is, and how to get in."""
    given: dict[str, Any] = {"bootstrap_servers": access.kafka.split(",")}
    if access.kafka_security_protocol != "plaintext":
        given |= {
            "security_protocol": access.kafka_security_protocol.upper(),
            "ssl_context": tls_context(access),
        }
    if access.kafka_security_protocol.startswith("sasl"):
        given |= {
            "sasl_mechanism": access.kafka_sasl_mechanism,
            "sasl_plain_username": access.kafka_username,
            "sasl_plain_password": access.kafka_password.get_secret_value(),
        }
    return given


def tls_context(access: KafkaAccess) -> ssl.SSLContext | None:
    """Trust in the authority that was named, else in the machine's; None where TLS is not wanted.

    The broker's name is held to its certificate, always. Raises SetupError: a file may be gone since the start.
    """
    if not access.kafka_security_protocol.endswith("ssl"):
        return None
    try:
        context = ssl.create_default_context(cafile=access.kafka_ca_file or None)
    except OSError as error:
        raise SetupError(f"REGULARS_KAFKA_CA_FILE must hold certificates (PEM): {_said(error)}.") from error
    if access.kafka_certificate_file:
        try:
            # A password is never asked for at the terminal.
            context.load_cert_chain(access.kafka_certificate_file, access.kafka_key_file or None, lambda: "")
        except OSError as error:
            raise SetupError(
                "REGULARS_KAFKA_CERTIFICATE_FILE and REGULARS_KAFKA_KEY_FILE must hold a certificate and its key, "
                f"unencrypted (PEM): {_said(error)}."
            ) from error
    return context


def _said(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def variables(access: KafkaAccess) -> dict[str, str]:
    """The same access as environment variables, so that a child process gets it whatever else stands there."""
    values = {name: getattr(access, name) for name in KafkaAccess.model_fields}
    return {
        f"REGULARS_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in values.items()
    }

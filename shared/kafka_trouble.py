"""Why Kafka cannot be used now, in one line that says what to do.

The clients themselves hide it: they try again for ever, or say that they could not "bootstrap". So one connection is
opened by hand, as a client opens it, before any client is made.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from shared.errors import RegularsError, SetupError, TransientError
from shared.kafka_access import KafkaAccess, client_arguments
from shared.logging import logger

PATIENCE: Final = 5.0  # seconds for each step with one broker
AGAIN: Final = 1.0
POLL: Final = 0.1
CLOSING: Final = 0.05
ENDED: Final = (KafkaError, EOFError, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
# OpenSSL's X509_V_ERR_: of the name (62, 64), not yet valid and expired (9, 10).
ANOTHER_NAME: Final = {62, 64}
WRONG_TIME: Final = {9, 10}
log = logger(__name__)


def trouble_with(access: KafkaAccess, patience: float = PATIENCE) -> str | None:
    """None when Kafka lets us in, else why not. Blocks; for threads without a running loop."""
    try:
        reach(access, patience)
    except RegularsError as error:
        return str(error)
    return None


def reach(access: KafkaAccess, patience: float = PATIENCE) -> None:
    """Return when Kafka lets us in. Blocks; raises as `knock` does."""
    # Not asyncio.run: it takes away the main thread's loop, which Faust asks for later.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(knock(access, patience))


def reach_within(access: KafkaAccess, deadline: float) -> None:
    """Return when Kafka lets us in; raise SetupError at once where it refuses us, else after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        try:
            return reach(access)
        except TransientError as error:
            if time.monotonic() > end:
                raise SetupError(str(error)) from error
        time.sleep(POLL)


def wait_for_kafka(access: KafkaAccess, tell: Callable[[str | None], None]) -> None:
    """Return once Kafka lets us in. Until then `tell` gets the reason, None at the end, and the log each new one.

    Faust and aiokafka die on a broker that is away or refuses them, so a service waits here first: it can say why it is
    not ready, and goes on by itself once that is mended at the broker.
    """
    last: str | None = None
    while (why := trouble_with(access)) is not None:
        tell(why)
        if why != last:
            log.error("kafka.unusable", why=why)
            last = why
        time.sleep(AGAIN)
    tell(None)


async def knock(access: KafkaAccess, patience: float = PATIENCE) -> None:
    """Return when one of the servers lets us in, and one of the brokers that it names.

    Raises SetupError where the settings or the broker must be changed, TransientError where it may pass by itself.
    """
    given = client_arguments(access)
    server, named = await _first(access, given.pop("bootstrap_servers"), given, patience)
    if server in named:
        return
    try:
        await _first(access, named, given, patience)
    except RegularsError as error:
        told = f"{error} That address is what Kafka at {server} has clients go on to (its advertised.listeners)."
        raise type(error)(told) from error


async def _first(
    access: KafkaAccess, servers: Sequence[str], given: Mapping[str, Any], patience: float
) -> tuple[str, list[str]]:
    """The first of the servers that lets us in, and the addresses of all brokers as it names them."""
    troubles: list[RegularsError] = []
    for server in servers:
        try:
            return server, await _named_by(server, given, patience)
        except Exception as error:  # noqa: BLE001 - a port may be anything's, and make anything of our client
            troubles.append(_explained(access, server, error))
    raise next((each for each in troubles if isinstance(each, SetupError)), troubles[-1])


async def _named_by(server: str, given: Mapping[str, Any], patience: float) -> list[str]:
    host, _, port = server.rpartition(":")
    connection = AIOKafkaConnection(host.strip("[]"), int(port), request_timeout_ms=int(patience * 1_000), **given)
    try:
        await connection.connect()
        # Not before this one does a broker end a connection that did not log in.
        known = await connection.send(MetadataRequest([]))
    finally:
        closed = connection.close()
        if closed is not None:  # a connection that never was will not close either
            await asyncio.wait({closed}, timeout=CLOSING)
    if not known.brokers:
        raise NotReadyError
    return [f"[{each[1]}]:{each[2]}" if ":" in each[1] else f"{each[1]}:{each[2]}" for each in known.brokers]


class NotReadyError(OSError):
    """A broker that was not yet let into its own cluster answers, but names nobody."""

    def __str__(self) -> str:
        return "it has not joined its cluster yet"


def _explained(access: KafkaAccess, server: str, error: Exception) -> RegularsError:
    cause = error.__cause__ or error  # aiokafka itself only says that the connection is closed
    if told := _about_login(access, error) or _about_tls(cause):
        return SetupError(f"Kafka at {server} {told}")
    if isinstance(cause, ENDED):
        return TransientError(
            f"Kafka at {server} ends the connection. Unless it is just starting: is {access.kafka_security_protocol} "
            "what this port speaks (REGULARS_KAFKA_SECURITY_PROTOCOL)?"
        )
    why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__  # a time that ran out says nothing
    return TransientError(f"Kafka does not answer at {server} ({why}). Is it running?")


def _about_login(access: KafkaAccess, error: Exception) -> str | None:
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"refuses the user name or the password ({error.args[0] if error.args else 'it does not say why'}): "
            "check REGULARS_KAFKA_USERNAME, REGULARS_KAFKA_PASSWORD and REGULARS_KAFKA_SASL_MECHANISM."
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"does not offer {access.kafka_sasl_mechanism}: set REGULARS_KAFKA_SASL_MECHANISM to what it offers."
    if isinstance(error, IllegalSaslStateError):
        without = "ssl" if access.kafka_security_protocol == "sasl_ssl" else "plaintext"
        return f"takes no user name on this port: set REGULARS_KAFKA_SECURITY_PROTOCOL to {without}."
    return None


def _about_tls(cause: BaseException) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"shows a certificate that does not hold ({cause.verify_message}): {_mend(cause)}"
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return (
            f"ended the TLS session ({(cause.reason or str(cause)).replace('_', ' ').lower()}): check its port, and "
            "REGULARS_KAFKA_CERTIFICATE_FILE where it asks for a client's certificate."
        )
    return None


def _mend(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in ANOTHER_NAME:
        return "write its address in REGULARS_KAFKA as the certificate names it."
    if error.verify_code in WRONG_TIME:
        return "renew it at the broker, or set this machine's clock."
    return "give the PEM file of its authority as REGULARS_KAFKA_CA_FILE."

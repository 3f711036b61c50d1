"""Faust's worker as our services run it."""

from __future__ import annotations

import asyncio
from typing import Any

import faust

from shared.kafka_access import KafkaAccess, tls_context

PATIENCE = 1.0


def broker_arguments(access: KafkaAccess) -> dict[str, Any]:
    """What a Faust application takes: where Kafka is, and how to get in."""
    context = tls_context(access)
    credentials: faust.SASLCredentials | faust.SSLCredentials | None = None
    if access.kafka_security_protocol.startswith("sasl"):
        credentials = faust.SASLCredentials(
            username=access.kafka_username,
            password=access.kafka_password.get_secret_value(),
            mechanism=access.kafka_sasl_mechanism,
            ssl_context=context,
        )
    elif context is not None:
        credentials = faust.SSLCredentials(context)
    servers = ";".join(f"kafka://{address}" for address in access.kafka.split(","))
    return {"broker": servers, "broker_credentials": credentials}


class Worker(faust.Worker):
    """Quiet, and ends as soon as there is nothing left to end."""

    def __init__(self, app: faust.App, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(app, loop=loop, quiet=True, redirect_stdouts=False, override_logging=False)
        self.spinner = None  # it would draw on stdout, which belongs to nobody here, or is a log

    async def _sentinel_task(self) -> None:
        """The last thing before the loop is closed: until what was cancelled has ended, not a second in any case."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=PATIENCE)

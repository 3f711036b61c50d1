"""Runs the sandbox."""

from __future__ import annotations

import socket
from pathlib import Path

import uvicorn

from services.local.sandbox.app import create_app
from services.local.sandbox.connection import CuttableConnection
from services.local.sandbox.reports import Fate, delivered
from shared.errors import SetupError

__all__ = ["create_app", "run"]


def run(
    host: str,
    port: int,
    data_dir: Path,
    webhook_url: str,
    webhook_secret: str,
    *,
    auto_deliver: bool = False,
    fate: Fate = delivered,
) -> None:
    """Serves until SIGINT or SIGTERM. Raises SetupError where the port is taken or the directory is of no use."""
    app = create_app(data_dir, webhook_url, webhook_secret, auto_deliver=auto_deliver, fate=fate)
    config = uvicorn.Config(
        app, http=CuttableConnection, log_config=None, access_log=False, timeout_graceful_shutdown=2
    )
    with _listening(host, port) as listener:
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        message = f"The sandbox cannot listen on {host}:{port}: {error.strerror}. Give another one with --sandbox-port."
        raise SetupError(message) from error

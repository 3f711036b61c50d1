"""TCP ports on this machine."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def free(host: str = LOOPBACK) -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether one could listen on `port`."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections still fade away (TIME_WAIT) is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def accepts(host: str, port: int | str) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False

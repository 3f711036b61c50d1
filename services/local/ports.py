"""TCP ports on this machine."""

from __future__ import annotations

import secrets
import socket

LOOPBACK = "127.0.0.1"


# Below where kernels take the ports of outgoing connections (Linux from 32768, macOS and Windows from 49152): who dies
# and comes back on such a port finds it free.
RANGE = range(15_000, 32_000)


def free(host: str = LOOPBACK) -> int:
    """A port that nobody listens on now."""
    while not is_free(port := secrets.choice(RANGE), host):
        pass
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


def accepts(address: str) -> bool:
    """Whether somebody listens at HOST:PORT."""
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False

"""An application served in a thread of this process, on a free port, as in a process of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
import uvloop
from fastapi import FastAPI

from tests.stack import TRUSTS_NOBODY, eventually


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=uvloop.run, args=(server.serve(sockets=[listener]),))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=30, verify=TRUSTS_NOBODY) as client:
                eventually(lambda: server.started)
                yield client
        finally:
            server.should_exit = True
            thread.join(30)

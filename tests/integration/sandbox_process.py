"""The sandbox as a process of its own, as `regulars up` runs it, and a receiver for its webhooks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from services.local import ports

SECRET = "whsec_cmVndWxhcnMtc2FuZGJveA=="
PROGRAM = """
import sys
from pathlib import Path
from services.local.sandbox.main import run
run("127.0.0.1", int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], auto_deliver=sys.argv[5] == "yes")
"""


class Sandbox:
    def __init__(self, data_dir: Path, webhook_url: str = "http://127.0.0.1:9/", *, auto_deliver: bool = False) -> None:
        self.port = ports.free()
        self.url = f"http://127.0.0.1:{self.port}"
        self._data_dir = data_dir
        self._rest = [webhook_url, SECRET, "yes" if auto_deliver else "no"]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", PROGRAM, str(self.port), str(self._data_dir), *self._rest]
        self.process = subprocess.Popen(command)
        end = time.monotonic() + 30
        while not self._ready():
            assert self.process.poll() is None, "the sandbox ended"
            assert time.monotonic() < end, "the sandbox is not ready"
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(10)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def _ready(self) -> bool:
        try:
            return bool(self.call("GET", "/readyz"))
        except urllib.error.URLError:
            return False


class Receiver:
    """Keeps what it gets: pairs of headers and body."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], str]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(202)
                self.send_header("content-length", "5")
                self.end_headers()
                self.wfile.write(b"taken")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/resend"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def sandbox(
    data_dir: Path, webhook_url: str = "http://127.0.0.1:9/", *, auto_deliver: bool = False
) -> Iterator[Sandbox]:
    running = Sandbox(data_dir, webhook_url, auto_deliver=auto_deliver)
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    try:
        yield running
    finally:
        running.stop()

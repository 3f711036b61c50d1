"""What surrounds every HTTP service: request ids, metrics by route, a limit on bodies, health, errors as problems."""

from __future__ import annotations

import gc
import random
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics, problems
from shared.errors import SetupError
from shared.logging import logger

LARGEST_BODY = 1_000_000
GRACE_SECONDS = 20  # for requests that are under way when the service is told to stop
_SOUND_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
log = logger(__name__)


def install(
    app: FastAPI,
    readiness: metrics.Readiness,
    largest_body: int = LARGEST_BODY,
    larger: Mapping[str, int] | None = None,
) -> None:
    """Give `app` all of this module and of `problems`. `readiness` is called from threads; `larger` has the limits of
    paths that begin so.
    """
    problems.install(app)
    app.add_middleware(Surroundings, largest_body=largest_body, larger=larger or {})

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> PlainTextResponse:
        why = readiness()
        return PlainTextResponse(f"{why or 'ready'}\n", 200 if why is None else 503)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests begun by then are finished. Port 0 takes a free one.

    Raises SetupError for a port that cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another port.") from error
    # uvicorn ends by raising the signal anew; without this the exit status would tell of a death by signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)
    # What was imported stays: looking through it took the collector tens of milliseconds, in which nobody was answered.
    gc.collect()
    gc.freeze()
    log.info("http.listening", host=host, port=listener.getsockname()[1])
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """The id under which the log tells of a request."""
    return str(scope["state"]["request_id"])


class Surroundings:
    """Plain ASGI: a tenth of the cost of a middleware that wraps requests and answers."""

    def __init__(self, app: ASGIApp, largest_body: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._largest_body = largest_body
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))  # of several of a name the first counts
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _SOUND_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        started = time.perf_counter()

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)  # until the request's task ends
        try:
            await self._app(scope, self._limited(self._most(scope["path"]), headers, receive), send_noting)
        except Exception:
            log.exception("request.failed", route=_template(scope), method=scope["method"])
            if status:
                raise  # half an answer is out: the server cuts the connection
            await problems.unexpected(request_id).response()(scope, receive, send_noting)
        finally:
            route, method = _template(scope), scope["method"] if scope["method"] in _METHODS else "OTHER"
            requests, seconds = _counters(route, method, str(status or 500))
            requests.inc()
            seconds.observe(time.perf_counter() - started)

    def _most(self, path: str) -> int:
        return next((most for start, most in self._larger.items() if path.startswith(start)), self._largest_body)

    def _limited(self, most: int, headers: Mapping[bytes, bytes], receive: Receive) -> Receive:
        """`receive`, but refusing a body as soon as it is known to be too large: announced, or while it streams in."""
        announced = headers.get(b"content-length", b"0")
        taken = 0

        async def receive_limited() -> Message:
            nonlocal taken
            if announced.isdigit() and int(announced) > most:
                raise _too_large(most)
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > most:
                    raise _too_large(most)
            return message

        return receive_limited


def _too_large(most: int) -> HTTPException:
    # This kind, because FastAPI lets no other through while it reads a body.
    return HTTPException(413, f"The body must be at most {most:,} bytes. Send it in parts.")


@lru_cache(1_000)
def _counters(route: str, method: str, status: str) -> tuple[Counter, Histogram]:
    """Found once: to look for its labels costs more than to count."""
    return metrics.http_requests.labels(route, method, status), metrics.http_seconds.labels(route, method)


def _template(scope: Scope) -> str:
    """The route as it is declared, such as /v1/customers/{id}: never the path, whose ids would flood the labels."""
    # Since FastAPI nests routers, the prefix of an included one stands only in this context.
    context = scope.get("fastapi", {}).get("effective_route_context")
    return str(getattr(context or scope.get("route"), "path", "unmatched"))

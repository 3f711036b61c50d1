"""Every metric by name, and the small server that shows them. No customer, code or event id ever in a label."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from shared.settings import Settings

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# Events taken from Kafka (segmenter) or from HTTP (ingest); outcome: accepted, taken, duplicate, rejected.
events = Counter("regulars_events", "Events by what became of them.", ["topic", "type", "outcome"])
event_to_membership = Histogram(
    "regulars_event_to_membership_seconds",
    "From Kafka's acceptance of an event until its memberships are committed.",
    buckets=FAST,
)
consumer_lag = Gauge("regulars_consumer_lag", "Records not yet taken.", ["topic", "partition"])
dead_letters = Counter("regulars_dead_letters", "Records that could not be counted.", ["reason"])
segment_changes = Counter("regulars_segment_changes", "Memberships that changed.", ["direction"])
flip_delay = Histogram(
    "regulars_flip_delay_seconds",
    "From the instant at which time moved a membership until it was stored.",
    buckets=FAST,
)
mails = Counter("regulars_mails", "Mails by state and, where there is one, reason.", ["state", "reason"])
mail_send = Histogram("regulars_mail_send_seconds", "One call of the mail provider.", buckets=FAST)
coupon_decisions = Counter("regulars_coupon_decisions", "Quotes, holds and commits by outcome.", ["outcome"])
http_requests = Counter("regulars_http_requests", "Requests by route and status.", ["route", "method", "status"])
http_seconds = Histogram("regulars_http_requests_seconds", "Time to answer.", ["route", "method"], buckets=FAST)
ready = Gauge("regulars_ready", "1 while /readyz says ready, else 0.")

Readiness = Callable[[], str | None]
"""None when ready, else why not."""


def serve(settings: Settings, readiness: Readiness) -> ThreadingHTTPServer:
    """Serve /metrics, /healthz and /readyz on the metrics port from a thread of its own; returns the running server."""
    ready.set_function(lambda: float(readiness() is None))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/metrics"):
                self._answer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path.startswith("/healthz"):
                self._answer(HTTPStatus.OK, b"ok\n")
            elif self.path.startswith("/readyz"):
                why = readiness()
                status = HTTPStatus.OK if why is None else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, f"{why or 'ready'}\n".encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /healthz and /readyz are here\n")

        def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Scrapes are not news."""

    server = ThreadingHTTPServer((settings.host, settings.metrics_port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server

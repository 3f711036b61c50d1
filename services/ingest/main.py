"""The service ingest as a process."""

from __future__ import annotations

from services.ingest.app import create_app
from shared import logging, metrics, web
from shared.settings import IngestSettings


def run(settings: IngestSettings) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted by then is finished first."""
    logging.configure(settings, "ingest")
    app = create_app(settings)
    server = metrics.serve(settings, app.state.parts.publisher.why_not_ready)
    try:
        web.serve(app, settings.host, settings.ingest_port)
    finally:
        server.shutdown()
        server.server_close()

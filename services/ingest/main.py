"""The service ingest as a process."""

from __future__ import annotations

import sys
from typing import Final

from services.ingest.app import create_app
from shared import logging, metrics, web
from shared.settings import IngestSettings

# A till's question passes through threads: by Python's own 5 ms it would wait at each for what is on its way to Kafka.
SWITCH_SECONDS: Final = 0.001


def run(settings: IngestSettings) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted by then is finished first."""
    logging.configure(settings, "ingest")
    sys.setswitchinterval(SWITCH_SECONDS)
    app = create_app(settings)
    server = metrics.serve(settings, app.state.parts.publisher.why_not_ready)
    try:
        web.serve(app, settings.host, settings.ingest_port)
    finally:
        server.shutdown()
        server.server_close()

"""The admin service as a process."""

from __future__ import annotations

import uvicorn

from services.admin.app import create_app, why_not_ready
from shared import logging, metrics
from shared.settings import AdminSettings

SHUTDOWN_SECONDS = 10


def run(settings: AdminSettings) -> None:
    """Serve until SIGTERM; requests under way are finished first."""
    logging.configure(settings, "admin")
    app = create_app(settings)
    server = metrics.serve(settings, lambda: why_not_ready(app.state.admin.engine))
    try:
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.admin_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    finally:
        server.shutdown()
        server.server_close()

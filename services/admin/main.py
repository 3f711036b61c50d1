"""The service admin as a process."""

from __future__ import annotations

from services.admin.app import create_app, why_not_ready
from shared import logging, metrics, web
from shared.settings import AdminSettings


def run(settings: AdminSettings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first."""
    logging.configure(settings, "admin")
    app = create_app(settings)
    server = metrics.serve(settings, lambda: why_not_ready(app.state.admin.engine))
    try:
        web.serve(app, settings.host, settings.admin_port)
    finally:
        server.shutdown()
        server.server_close()

"""Runs the mailer."""

from __future__ import annotations

import asyncio

import faust
import uvloop

from services.mailer.app import create_app
from services.mailer.health import Health
from services.mailer.resend_provider import provider_of
from shared import logging, metrics
from shared.settings import MailerSettings


def run(settings: MailerSettings) -> None:
    """Plan and send until SIGINT or SIGTERM. Raises SetupError where a setting stands in the way."""
    logging.configure(settings, "mailer")
    health = Health()
    provider = provider_of(settings)
    app = create_app(settings, provider, health)
    metrics.serve(settings, health.why_not)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(app, loop=loop, quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None  # it would draw on stdout, which belongs to nobody here
    worker.execute_from_commandline()

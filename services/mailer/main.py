"""The service mailer as a process."""

from __future__ import annotations

import asyncio
import gc
import sys

import uvloop

from services.mailer.app import create_app
from services.mailer.health import Health
from services.mailer.provider_choice import provider_of
from shared import logging, metrics
from shared.kafka_trouble import wait_for_kafka
from shared.settings import MailerSettings
from shared.worker import Worker


def run(settings: MailerSettings) -> None:
    """Plan and send until SIGINT or SIGTERM. Raises SetupError where a setting stands in the way."""
    logging.configure(settings, "mailer")
    health = Health(kafka="was not reached yet")
    provider = provider_of(settings)
    metrics.serve(settings, health.why_not)
    wait_for_kafka(settings, lambda why: health.bad("kafka", why or "reached"))
    app = create_app(settings, provider, health)
    # Senders wait for the database and the provider more often than they compute: who has an answer must not wait 5 ms
    # for its turn. A cycle makes some ten thousand objects and frees them all: cycles among them there are none.
    sys.setswitchinterval(0.000_5)
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    Worker(app, loop).execute_from_commandline()

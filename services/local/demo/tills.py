"""Simulated terminals that sell live, over HTTP with the terminal key: `python -m services.local.demo.tills`.

The supervisor of `regulars demo` keeps it running. It waits until the year is in, then sells a few times a second:
mostly to people who came before, now and then to somebody new, who registers; some use a coupon, some give back what
they bought, some sales are voided. A till that cannot reach ingest keeps its events and sends them again.
"""

from __future__ import annotations

import random
import time
from http import HTTPStatus

import httpx
import msgspec

from services import installation
from services.local.demo import catalog
from services.local.demo.cashier import Cashier
from services.local.demo.catalog import Catalog
from shared.clock import utc_now
from shared.domain.events import Event
from shared.logging import configure, logger
from shared.settings import Settings, load

SALES_PER_SECOND = 3.0
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 15.0
LONGEST_PAUSE = 5.0

log = logger(__name__)


def main() -> None:
    """Sell until ended."""
    configure(load(Settings), "tills")
    cashier = Cashier(_opening(), random.Random())  # noqa: S311 - a simulation
    found = installation.require()
    headers = {"Authorization": f"Bearer {found.keys['terminal']}"}
    with httpx.Client(
        base_url=found.endpoints["ingest"], headers=headers, timeout=PATIENCE_SECONDS, trust_env=False
    ) as client:
        while True:
            time.sleep(cashier.chance.expovariate(SALES_PER_SECOND))
            send(client, cashier.serve(utc_now()))


def send(client: httpx.Client, events: list[Event]) -> None:
    """Post the events of one customer's visit, again and again until ingest has answered."""
    body = msgspec.json.encode(events)
    pause = POLL_SECONDS
    while True:
        try:
            answer = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        except httpx.TransportError as error:
            why = str(error)
        else:
            if not (answer.status_code == HTTPStatus.TOO_MANY_REQUESTS or answer.is_server_error):
                break
            why = f"status {answer.status_code}"
        log.warning("till.waits", why=why, seconds=pause)
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    if answer.status_code != HTTPStatus.ACCEPTED or answer.json()["rejected"]:
        log.error("till.refused", status=answer.status_code, answer=answer.text)


def _opening() -> Catalog:
    """Wait for the year to be in."""
    while (shop := catalog.read(installation.chosen(None))) is None:
        time.sleep(POLL_SECONDS)
    return shop


if __name__ == "__main__":
    main()

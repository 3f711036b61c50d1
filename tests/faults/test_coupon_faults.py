"""Invariant 4: a code for so many uses is used so many times, whatever is killed while 64 tills ask for it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import NullPool

from services.local import ports
from shared.database.engine import connect, engine
from shared.kafka import Topic
from shared.keys import create_key
from shared.settings import IngestSettings
from tests.coupons import add_coupon, counters
from tests.ingest import consume, organize
from tests.ingest_process import Process
from tests.stack import TRUSTS_NOBODY, eventually, scratch

pytestmark = pytest.mark.faults
TILLS = 64
LIMIT = 150
EACH = 2
CUSTOMERS = 120
Settings = Callable[..., Any]


class Tally:
    """What the tills were told, and a bell for each commit."""

    def __init__(self) -> None:
        self.committed: set[str] = set()
        self.released: set[str] = set()
        self.refused: set[str] = set()
        self.statuses: Counter[int | str] = Counter()
        self.news = threading.Condition()

    def wait_for(self, commits: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.committed) >= commits, 120), self.statuses


class Till:
    """Asks again until it is answered, now one process and now the other, as a till behind a load balancer does."""

    def __init__(self, urls: list[str], token: str, number: int, tally: Tally) -> None:
        self.number, self.tally, self.turn = number, tally, number
        headers = {"authorization": f"Bearer {token}"}
        self.clients = [httpx.Client(base_url=url, headers=headers, timeout=30, verify=TRUSTS_NOBODY) for url in urls]

    def run(self) -> None:
        """Sell until the coupon is used up."""
        for count in range(200):
            sale_id = f"S-{self.number}-{count}"
            customer_id = f"c-{(self.number * 7 + count * 13) % CUSTOMERS}"
            answer = self.ask(
                "POST", "/v1/coupons/HOT/holds", {"sale_id": sale_id, "customer_id": customer_id, "total": 900}
            )
            if answer.status_code == 409:
                self.tally.refused.add(sale_id)
                if any(reason["code"] == "limit_total" for reason in answer.json()["reasons"]):
                    break
                continue
            hold = f"/v1/holds/{answer.json()['id']}"
            if count % 5 == 4:
                assert self.ask("DELETE", hold).status_code == 204
                self.tally.released.add(sale_id)
            else:
                assert self.ask("POST", f"{hold}/commit").status_code == 200
                with self.tally.news:
                    self.tally.committed.add(sale_id)
                    self.tally.news.notify_all()
        for client in self.clients:
            client.close()

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        while True:
            self.turn += 1
            try:
                answer = self.clients[self.turn % len(self.clients)].request(method, path, json=body)
            except httpx.HTTPError as error:
                self.tally.statuses[type(error).__name__] += 1
                continue
            self.tally.statuses[answer.status_code] += 1
            if answer.status_code != 503:
                return answer


@pytest.fixture
def processes(settings: Settings) -> Iterator[list[Process]]:
    with scratch() as folder:
        made: list[Process] = []
        try:
            for name in ("one", "two"):
                (folder / name).mkdir()
                made.append(Process(settings(IngestSettings, ingest_port=ports.free()), folder / name))
            yield made
        finally:
            for process in made:
                process.kill()


def cut_connections(database: str) -> None:
    with connect(database, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_64_tills_on_a_hot_code_never_oversell_it(settings: Settings, processes: list[Process]) -> None:
    given: IngestSettings = settings(IngestSettings)
    database = engine(given.database, poolclass=NullPool)
    organize(database)
    add_coupon(database, "HOT", limit_total=LIMIT, limit_per_customer=EACH)
    with database.begin() as connection:
        token = create_key(connection, "demo", "terminal", "till")[1]
    for process in processes:
        eventually(process.is_ready, 60)
    tally = Tally()
    tills = [Till([process.url for process in processes], token, number, tally) for number in range(TILLS)]
    with ThreadPoolExecutor(TILLS) as pool:
        selling = [pool.submit(till.run) for till in tills]
        for commits, victim in ((20, processes[0]), (60, None), (90, processes[1]), (120, None)):
            tally.wait_for(commits)
            if victim is None:
                cut_connections(given.database)
            else:
                victim.kill()
                victim.start()
        for each in selling:
            each.result(180)
    # Both at once, with redemptions that nobody has published yet: they are published at the next start.
    for process in processes:
        process.kill()
        process.start()
        eventually(process.is_ready, 60)
    states = uses(given.database)
    redeemed = {sale_id for sale_id, _, state in states if state == "redeemed"}
    assert redeemed == tally.committed
    assert not tally.refused & {sale_id for sale_id, _, state in states if state in ("redeemed", "held")}
    assert {state for sale_id, _, state in states if sale_id in tally.released} <= {"released"}
    assert len(redeemed) == LIMIT
    by_customer = Counter(customer_id for _, customer_id, state in states if state == "redeemed")
    assert max(by_customer.values()) <= EACH
    assert counters(database, "HOT") == {
        "redemptions": LIMIT,
        "held": 0,
        "over_limit": 0,
        "discount_given": 500 * LIMIT,
    }
    eventually(lambda: told(given) >= redeemed, 60)
    assert told(given) == redeemed
    database.dispose()


def uses(database: str) -> list[tuple[str, str, str]]:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT sale_id, customer_id, state FROM coupon_use").fetchall()


def told(given: IngestSettings) -> set[str]:
    """The sales whose redemption stands in Kafka."""
    return {json.loads(value)["data"]["sale_id"] for _, value in consume(given, Topic.COUPONS)}

"""Any interleaving of what tills and events do to a coupon, against a simple model: never oversold, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine

from services.ingest.till.asked import Named, Redeemed, Released, Unknown, Use, Wanted
from services.ingest.till.booking import book, quote
from services.ingest.till.redemptions import UNPUBLISHED, event_of
from services.segmenter.batch import Batches
from services.segmenter.connection import connect
from services.segmenter.verify_redemptions import differences
from shared.database.engine import engine
from shared.domain.coupons import Basket, Offer, Refused
from tests.segments import add_organization
from tests.till import NOW, Record, event, records, redeemed

CODE = "HOT"
HOLD = timedelta(minutes=10)
sales = st.sampled_from([f"S-{number}" for number in range(12)])
customers = st.sampled_from(["c-1", "c-2"])


@dataclass
class Kept:
    """What the model knows of a sale's use."""

    state: str
    customer_id: str
    expires_at: datetime | None = None
    is_over: bool = False


class Coupon:
    """The model: a use a sale, and limits that are counted anew at each question."""

    def __init__(self, limit_total: int, limit_per_customer: int | None) -> None:
        self.limit_total = limit_total
        self.limit_per_customer = limit_per_customer
        self.uses: dict[str, Kept] = {}
        self.gone: set[str] = set()  # sales that were voided or reversed
        self.told: set[str] = set()  # sales whose redemption the ledger has

    def run_out(self, now: datetime) -> None:
        for use in self.uses.values():
            if use.state == "held" and use.expires_at is not None and use.expires_at <= now:
                use.state = "expired"

    def is_free(self, sale_id: str, customer_id: str) -> bool:
        others = [use for other, use in self.uses.items() if other != sale_id and use.state in ("held", "redeemed")]
        mine = sum(use.customer_id == customer_id for use in others)
        return len(others) < self.limit_total and (self.limit_per_customer is None or mine < self.limit_per_customer)


def machine(connection: psycopg.Connection[Any], reader: Engine) -> type[RuleBasedStateMachine]:  # noqa: C901 - one rule each
    """The rules, on one database that is emptied before each run."""

    class Tills(RuleBasedStateMachine):
        @initialize(limit_total=st.integers(1, 3), limit_per_customer=st.sampled_from([None, 1, 2]))
        def begin(self, limit_total: int, limit_per_customer: int | None) -> None:
            connection.execute(
                "TRUNCATE organization, coupon, coupon_use, redemption_outbox, ledger, customer, waiting_adjustment CASCADE"
            )
            add_organization(connection, "demo", {})
            connection.execute(
                "INSERT INTO coupon (organization_id, code, type, value, limit_total, limit_per_customer) "
                "VALUES ('demo', %s, 'fixed', 500, %s, %s)",
                [CODE, limit_total, limit_per_customer],
            )
            self.now = NOW
            self.model = Coupon(limit_total, limit_per_customer)
            self.events = 0
            self.batches = Batches(connection, "crm.mail.v1", lambda: self.now)

        @rule(minutes=st.sampled_from([3, 11]))
        def time_passes(self, minutes: int) -> None:
            self.now += timedelta(minutes=minutes)
            self.model.run_out(self.now)

        @rule(sale_id=sales, customer_id=customers)
        def ask_for_a_quote(self, sale_id: str, customer_id: str) -> None:
            (answer,) = quote(connection, [self._wanted(sale_id, customer_id)], self.now)
            use = self.model.uses.get(sale_id)
            is_free = self.model.is_free(sale_id, customer_id) and (use is None or use.state != "given_back")
            assert isinstance(answer, Offer) == is_free

        @rule(asked=st.lists(st.tuples(sales, customers), min_size=1, max_size=4, unique_by=lambda each: each[0]))
        def hold_some_at_once(self, asked: list[tuple[str, str]]) -> None:
            wanted = [self._wanted(sale_id, customer_id) for sale_id, customer_id in asked]
            for (sale_id, customer_id), answer in zip(asked, book(connection, wanted, self.now, HOLD), strict=True):
                use = self.model.uses.get(sale_id)
                if use is not None and use.state in ("held", "redeemed"):
                    assert isinstance(answer, Use)
                    assert not answer.is_new
                elif (use is None or use.state != "given_back") and self.model.is_free(sale_id, customer_id):
                    assert isinstance(answer, Use)
                    assert answer.is_new
                    self.model.uses[sale_id] = Kept("held", customer_id, self.now + HOLD)
                else:
                    assert isinstance(answer, Refused)
                if isinstance(answer, Use):
                    assert answer.place == ("demo", CODE, sale_id)

        @rule(sale_id=sales)
        def commit(self, sale_id: str) -> None:
            use = self.model.uses.get(sale_id)
            (answer,) = book(connection, [Named(("demo", CODE, sale_id))], self.now, HOLD)
            if use is None:
                assert isinstance(answer, Unknown)
                return
            if use.state in ("redeemed", "given_back"):
                assert isinstance(answer, Use)
            elif use.state == "held" or (use.state == "expired" and self.model.is_free(sale_id, use.customer_id)):
                assert isinstance(answer, Use)
                use.state = "redeemed"
            else:
                assert isinstance(answer, Refused)

        @rule(sale_id=sales)
        def release(self, sale_id: str) -> None:
            use = self.model.uses.get(sale_id)
            (answer,) = book(connection, [Named(("demo", CODE, sale_id), is_release=True)], self.now, HOLD)
            if use is None:
                assert isinstance(answer, Unknown)
                return
            if use.state in ("redeemed", "given_back"):
                assert isinstance(answer, Redeemed)
            else:
                assert isinstance(answer, Released)
                if use.state == "held":
                    use.state = "released"

        @rule()
        def commits_reach_the_ledger(self) -> None:
            with reader.connect() as looking:
                rows = looking.execute(UNPUBLISHED, {"ids": ["demo"], "most": 100}).all()
            made = [event_of(row) for row in rows]
            self._count([Record(each.topic, 0, 0, 0, each.key, each.value) for each in made])
            for row in rows:
                self._told(row.sale_id, row.customer_id)

        @rule(sale_id=sales, customer_id=customers)
        def an_offline_till_redeems(self, sale_id: str, customer_id: str) -> None:
            self.events += 1
            self._count(records([redeemed(self.events, CODE.lower(), sale_id, customer_id, 400, self.now)]))
            self._told(sale_id, customer_id)

        @rule(sale_id=sales, kind=st.sampled_from(["sale.voided", "coupon.redemption_reversed"]))
        def it_is_given_back(self, sale_id: str, kind: str) -> None:
            self.events += 1
            data = {"coupon_code": CODE} if kind == "coupon.redemption_reversed" else {}
            self._count(records([event(kind, self.events, self.now, sale_id=sale_id, **data)]))
            self.model.gone.add(sale_id)
            if sale_id in self.model.told:
                self.model.uses[sale_id].state = "given_back"

        @invariant()
        def no_limit_is_broken(self) -> None:
            uses = self.model.uses.values()
            assert sum(use.state in ("held", "redeemed") and not use.is_over for use in uses) <= self.model.limit_total
            rows = connection.execute("SELECT sale_id, state, over_limit, expires_at FROM coupon_use").fetchall()
            found = {
                sale_id: ("expired" if state == "held" and expires_at <= self.now else state, is_over)
                for sale_id, state, is_over, expires_at in rows
            }
            assert found == {sale_id: (use.state, use.is_over) for sale_id, use in self.model.uses.items()}
            with reader.connect() as looking:
                assert differences(looking, "demo") == []

        def _wanted(self, sale_id: str, customer_id: str) -> Wanted:
            return Wanted("demo", CODE, Basket(sale_id, 10_000, (), customer_id))

        def _count(self, made: list[Record]) -> None:
            self.batches.process(made)

        def _told(self, sale_id: str, customer_id: str) -> None:
            """The ledger has a redemption of this sale now; the first one it had says whose it is."""
            if sale_id in self.model.told:
                return
            self.model.told.add(sale_id)
            use = self.model.uses.get(sale_id)
            if sale_id in self.model.gone:
                self.model.uses[sale_id] = Kept("given_back", customer_id, is_over=use.is_over if use else False)
                return
            if use is None or use.state not in ("held", "redeemed"):
                is_over = not self.model.is_free(sale_id, customer_id)
                self.model.uses[sale_id] = Kept("redeemed", customer_id, is_over=is_over)
            else:
                self.model.uses[sale_id] = Kept("redeemed", customer_id, is_over=use.is_over)

    return Tills


@contextmanager
def opened(database: str) -> Iterator[tuple[psycopg.Connection[Any], Engine]]:
    reader = engine(database)
    with connect(database) as connection:
        yield connection, reader
    reader.dispose()


def test_redemptions_and_live_holds_stay_within_the_limits(database: str) -> None:
    with opened(database) as (connection, reader):
        run_state_machine_as_test(
            machine(connection, reader),
            settings=settings(max_examples=50, stateful_step_count=40, suppress_health_check=list(HealthCheck)),
        )

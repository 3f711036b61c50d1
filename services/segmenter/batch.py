"""One batch, one transaction: the way of an event through the segmenter, step by step.

intake (decode, validate) -> ledger (what is new) -> fold (stats) -> identity (merges, erasures) -> profiles
-> memberships -> dead letters -> redemptions; then commit. Kafka's offset is committed after it, so a crash repeats
the batch and the ledger's keys let nothing count twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import psycopg

from services.segmenter import dead_letters, express, fold, identity, intake, ledger, memberships, profiles, redemptions
from services.segmenter.intake import Intake, Letter, Organization, Record, Row
from services.segmenter.moves import Moves
from services.segmenter.program import Program, Programs
from services.segmenter.staging import CUSTOMER_ID, NUMBER, ORGANIZATION_ID, SALE_ID, TYPE, Connection
from shared.clock import Clock, utc_now
from shared.database.locks import ALONE, SHARE
from shared.domain.events import Reason
from shared.logging import logger

log = logger(__name__)

ORGANIZATIONS = "SELECT organization_id, currency, time_zone FROM organization WHERE organization_id = ANY(%s)"
# Adjustments and redemptions that no visible sale of the same customer explains: what they belong to may be on its way
# in another lane. So may be those whose sale was not yet looked at again.
STRAY = """
SELECT DISTINCT a.organization_id, a.sale_id
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS a (organization_id, sale_id, customer_id, type)
WHERE a.type = 'coupon.redemption_reversed'
   OR NOT EXISTS (
    SELECT FROM ledger l WHERE l.organization_id = a.organization_id AND l.sale_id = a.sale_id
    AND l.type = 'sale.completed' AND l.customer_id IS NOT DISTINCT FROM a.customer_id)
   OR EXISTS (
    SELECT FROM waiting_adjustment w WHERE w.organization_id = a.organization_id AND w.sale_id = a.sale_id)
"""
# Whom the strays concern, now that all that was on its way is visible.
STRAYS_CONCERN = """
INSERT INTO dirty
SELECT l.organization_id, l.customer_id
FROM ledger l JOIN unnest(%s::text[], %s::text[]) AS s (organization_id, sale_id) USING (organization_id, sale_id)
WHERE l.type IN ('sale.completed', 'coupon.redeemed') AND l.customer_id IS NOT NULL
"""
# Their sale is there and recomputed: nothing waits for it any more.
STRAYS_SETTLED = """
DELETE FROM waiting_adjustment w USING unnest(%s::text[], %s::text[]) AS s (organization_id, sale_id)
WHERE w.organization_id = s.organization_id AND w.sale_id = s.sale_id AND EXISTS (
    SELECT FROM ledger l WHERE l.organization_id = w.organization_id AND l.sale_id = w.sale_id
    AND l.type = 'sale.completed')
"""
ADJUSTMENTS = {"sale.refunded", "sale.voided", "coupon.redemption_reversed", "coupon.redeemed"}
TOUCHED = "SELECT customer_id FROM touched WHERE organization_id = %s"
IDENTITY = {"customer.merged", "customer.erased"}

Guard = Callable[[int, int], None]
"""Told how many records were taken and how many were refused; raises to stop the consumer."""


@dataclass
class Outcome:
    """What became of a batch."""

    taken: list[Record] = field(default_factory=list)
    counted: int = 0
    repeated: int = 0
    letters: list[Letter] = field(default_factory=list)
    kinds: dict[tuple[str, str], int] = field(default_factory=dict)
    moves: Moves = field(default_factory=Moves)
    over_limit: int = 0


class Batches:
    """Carries out batches on one connection."""

    def __init__(self, connection: Connection, mail_topic: str, clock: Clock = utc_now) -> None:
        self.connection = connection
        self.mail_topic = mail_topic
        self.clock = clock
        self.programs = Programs()

    def process(self, records: Sequence[Record], guard: Guard | None = None) -> Outcome:
        """Count a batch, once, whatever was counted before. Raises psycopg.Error with nothing done."""
        taken = intake.take(records, self.clock(), self.mail_topic)
        plain, others = express.divide(taken.rows)
        if plain:
            try:
                return self._transact(taken.copy(), plain, others, guard)
            except (express.UnusualError, psycopg.errors.UniqueViolation) as error:
                # Something is known already, or somebody else wrote: the plain way finds out what counts.
                log.debug("batch.unusual", events=len(plain), why=type(error).__name__)
        return self._transact(taken, [], taken.rows, guard)

    def _transact(self, taken: Intake, plain: list[Row], others: list[Row], guard: Guard | None) -> Outcome:
        """One transaction: `plain` by the express way, `others` step by step."""
        outcome = Outcome(list(taken.records))
        strays: list[fold.Sale] = []
        with self.connection.transaction():
            organizations = self._organizations(row[ORGANIZATION_ID] for row in taken.rows)
            if intake.check_organizations(taken, organizations):
                kept = {row[NUMBER] for row in taken.rows}
                plain = [row for row in plain if row[NUMBER] in kept]
                others = [row for row in others if row[NUMBER] in kept]
            types = intake.types_in(others)
            self._lock(organizations, alone=bool(types & IDENTITY))
            if others:
                taken.rows = others
                outcome.repeated = ledger.insert(self.connection, taken, list(organizations))
                fold.add(self.connection, types)
                strays = self._strays(others, types)
                self._settle_customers(types, organizations, outcome.moves)
            else:
                taken.rows = []
            if plain:
                names = sorted({row[ORGANIZATION_ID] for row in plain})
                programs = [self._program(organizations[name]) for name in names]
                express.count(self.connection, plain, programs, self.clock, outcome.moves)
                taken.rows = [*taken.rows, *plain]
            if guard is not None:
                guard(len(taken.records), len(taken.letters))
            dead_letters.store(self.connection, taken.letters)
            outcome.moves.finish(self.connection, self.clock())
            sales = redemptions.sales_of(taken.rows if others else [])
            outcome.over_limit = redemptions.settle(self.connection, sales, self.clock())
        if strays:
            self.settle(strays)
        outcome.letters = taken.letters
        outcome.counted = len(taken.rows)
        outcome.kinds = Counter([(taken.records[row[NUMBER]].topic, row[TYPE]) for row in taken.rows])
        return outcome

    def settle(self, strays: Sequence[fold.Sale]) -> None:
        """Look again, alone, at what may belong to something that was on its way in another lane.

        A sale that still is not there finds its adjustments in waiting_adjustment. A crash before this repeats the
        batch, and so this.
        """
        ids = sorted({organization_id for organization_id, _ in strays})
        columns = [[stray[0] for stray in strays], [stray[1] for stray in strays]]
        moves = Moves()
        with self.connection.transaction():
            organizations = self._organizations(ids)
            self._lock(organizations, alone=True)
            self.connection.execute(STRAYS_CONCERN, columns)
            self.connection.execute(STRAYS_SETTLED, columns)
            fold.recompute(self.connection)
            self._refresh(organizations, moves)
            moves.finish(self.connection, self.clock())
            redemptions.settle(self.connection, strays, self.clock())

    def _settle_customers(self, types: set[str], organizations: dict[str, Organization], moves: Moves) -> None:
        """Everything after the sums: who is who, what must be recomputed, profiles, memberships."""
        leavers = identity.apply(self.connection) if types & IDENTITY else []
        if self.connection.execute("SELECT EXISTS (SELECT FROM dirty)").fetchone() == (True,):
            fold.recompute(self.connection)
        if any(kind.startswith("customer.") for kind in types):
            profiles.write(self.connection)
        for organization_id in sorted({leaver[0] for leaver in leavers}):
            program = self._program(organizations[organization_id])
            ids = [customer_id for name, customer_id in leavers if name == organization_id]
            memberships.depart(self.connection, program, ids, self.clock(), moves)
        self._refresh(organizations, moves)

    def _refresh(self, organizations: dict[str, Organization], moves: Moves) -> None:
        for _, organization in sorted(organizations.items()):
            program = self._program(organization)
            ids = [row[0] for row in self.connection.execute(TOUCHED, [program.organization_id]).fetchall()]
            memberships.refresh(self.connection, program, ids, self.clock, "event", moves)

    def _program(self, organization: Organization) -> Program:
        return self.programs.of(self.connection, organization.organization_id, organization.time_zone)

    def _organizations(self, ids: Iterable[str]) -> dict[str, Organization]:
        rows = self.connection.execute(ORGANIZATIONS, [sorted(set(ids))]).fetchall()
        return {row[0]: Organization(*row) for row in rows}

    def _lock(self, organizations: Iterable[str], *, alone: bool) -> None:
        for organization_id in sorted(organizations):
            self.connection.execute(ALONE if alone else SHARE, [organization_id])

    def _strays(self, staged: Sequence[Row], types: set[str]) -> list[fold.Sale]:
        if not types & ADJUSTMENTS:
            return []
        rows = [row for row in staged if row[TYPE] in ADJUSTMENTS]
        columns = [[row[place] for row in rows] for place in (ORGANIZATION_ID, SALE_ID, CUSTOMER_ID, TYPE)]
        return [(found[0], found[1]) for found in self.connection.execute(STRAY, columns).fetchall()]


def process_or_split(batches: Batches, records: Sequence[Record], guard: Guard | None = None) -> list[Outcome]:
    """As Batches.process; a record that the database itself refuses becomes a dead letter and spoils no neighbour."""
    try:
        return [batches.process(records, guard)]
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(records) > 1:
            middle = len(records) // 2
            return [
                *process_or_split(batches, records[:middle], guard),
                *process_or_split(batches, records[middle:], guard),
            ]
        record = records[0]
        message = f"cannot be stored: {str(error).splitlines()[0]}"
        letter = Letter(record, Reason.NOT_STORABLE, message, intake.organization_of(record))
        with batches.connection.transaction():
            dead_letters.store(batches.connection, [letter])
        return [Outcome([record], letters=[letter])]

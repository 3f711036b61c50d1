"""Into the ledger, where only what is new counts."""

from __future__ import annotations

from services.segmenter.intake import Intake
from services.segmenter.staging import COPY_INCOMING, INCOMING_TYPES, Connection, copy
from shared.domain.events import Reason

# Attributes late events of a merged customer to whom the customer is now.
RESOLVE_MERGES = """
UPDATE incoming i SET customer_id = m.root_customer_id, published_customer_id = i.customer_id
FROM customer_merge m
WHERE m.organization_id = i.organization_id AND m.customer_id = i.customer_id AND m.root_customer_id <> i.customer_id
"""
# Makes late events of somebody erased anonymous. A late merge must still say whom else the erasure reaches: it becomes
# anonymous where that is carried out (`identity`).
RESOLVE_ERASURES = """
UPDATE incoming i SET customer_id = NULL, published_customer_id = NULL, payload = NULL
FROM erasure e
WHERE e.organization_id = i.organization_id AND i.occurred_at <= e.erased_at
  AND e.customer_digest = sha256(convert_to(i.organization_id || '/' || i.customer_id, 'UTF8'))
  AND i.type <> 'customer.merged'
"""
# The first event of an identity wins, and so does the first of a sale, a refund, a void or a redemption.
INSERT = """
INSERT INTO ledger (organization_id, source, event_id, type, occurred_at, customer_id, published_customer_id, sale_id,
                    entry, store_id, terminal_id, amount, discount, lines, payload)
SELECT organization_id, source, event_id, type, occurred_at, customer_id, published_customer_id, sale_id,
       entry, store_id, terminal_id, amount, discount, lines, payload::jsonb
FROM incoming ORDER BY n
ON CONFLICT DO NOTHING
"""
# For each staged row: was its event in the ledger before, and is it what this transaction wrote under its identity?
CLASSIFY = """
SELECT i.n, l.event_id IS NOT NULL AND l.xmin <> pg_current_xact_id()::xid,
       (l.type, l.sale_id, l.entry) IS NOT DISTINCT FROM (i.type, i.sale_id, i.entry), i.type, i.sale_id,
       i.organization_id, i.source, i.event_id
FROM incoming i LEFT JOIN ledger l USING (organization_id, source, event_id)
WHERE i.organization_id = ANY(%s)
ORDER BY i.n
"""
FORGET = "DELETE FROM incoming WHERE n = ANY(%s)"


def insert(connection: Connection, intake: Intake, organizations: list[str]) -> int:
    """Stage the rows, insert what is new, leave in `incoming` only that; returns how many were repetitions.

    A second sale.completed of a sale under another event id becomes a dead letter.
    """
    copy(connection, COPY_INCOMING, INCOMING_TYPES, intake.rows)
    connection.execute(RESOLVE_MERGES)
    connection.execute(RESOLVE_ERASURES)
    inserted = connection.execute(INSERT).rowcount
    if inserted == len(intake.rows):
        return 0
    return _set_aside(connection, intake, organizations)


def _set_aside(connection: Connection, intake: Intake, organizations: list[str]) -> int:
    """The rare path: some rows were not inserted. Find out which, and why."""
    seen: set[tuple[str, ...]] = set()
    old: list[int] = []
    repeated = 0
    for n, was_known, is_it, kind, sale_id, *identity in connection.execute(CLASSIFY, [organizations]).fetchall():
        event = tuple(identity)
        if is_it and not was_known and event not in seen:
            seen.add(event)
            continue
        old.append(n)
        if was_known or event in seen or kind != "sale.completed":
            repeated += 1
        else:
            intake.refuse(
                n,
                Reason.DUPLICATE_SALE,
                f"data.sale_id: sale {sale_id!r} is known already from another event; a sale counts once. "
                "If it is another sale, give it an id of its own",
            )
    connection.execute(FORGET, [old])
    intake.drop(old)
    return repeated

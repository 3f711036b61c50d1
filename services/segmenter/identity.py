"""Who is who: customers merged into others, and customers erased."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from services.segmenter import merged_mail
from services.segmenter.forgetting import AT_ONCE
from services.segmenter.staging import Connection

Edge = tuple[str, datetime, str]
"""into_customer_id, when, key that breaks ties"""

INCOMING = """
SELECT organization_id, type, coalesce(published_customer_id, customer_id), occurred_at, source || ' ' || event_id,
       payload::jsonb ->> 'into_customer_id'
FROM incoming WHERE type = ANY(%s) AND customer_id IS NOT NULL ORDER BY n
"""
# The newest merge of a customer says into whom.
NOTE_MERGE = """
INSERT INTO customer_merge AS m (organization_id, customer_id, into_customer_id, root_customer_id, merged_at, event_key)
VALUES (%(organization_id)s, %(customer_id)s, %(into)s, %(into)s, %(at)s, %(key)s)
ON CONFLICT (organization_id, customer_id) DO UPDATE
SET into_customer_id = excluded.into_customer_id, merged_at = excluded.merged_at, event_key = excluded.event_key
WHERE (m.merged_at, m.event_key) < (excluded.merged_at, excluded.event_key)
"""
# Merges that touch any of some customers, from either end or by their root.
CONNECTED = """
SELECT customer_id, into_customer_id, merged_at, event_key, root_customer_id FROM customer_merge
WHERE organization_id = %(organization_id)s
  AND (customer_id = ANY(%(ids)s) OR into_customer_id = ANY(%(ids)s) OR root_customer_id = ANY(%(ids)s))
"""
SET_ROOT = """
UPDATE customer_merge SET root_customer_id = %(root)s
WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s)
"""
# Gives the events that were published for some customers to their root.
ATTRIBUTE = """
UPDATE ledger SET customer_id = %(root)s,
    published_customer_id = CASE coalesce(published_customer_id, customer_id) WHEN %(root)s THEN NULL
                            ELSE coalesce(published_customer_id, customer_id) END
WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(group)s)
  AND coalesce(published_customer_id, customer_id) = ANY(%(ids)s)
"""
MOVE_LIST_ENTRIES = """
WITH gone AS (
    DELETE FROM static_member WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s)
    RETURNING segment_id
)
INSERT INTO static_member (organization_id, segment_id, customer_id)
SELECT DISTINCT %(organization_id)s, segment_id, %(root)s FROM gone ON CONFLICT DO NOTHING
"""
# Uses that the ledger has follow it; holds follow the merge.
MOVE_REDEMPTIONS = """
UPDATE coupon_use u SET customer_id = l.customer_id FROM ledger l
WHERE u.organization_id = %(organization_id)s AND u.customer_id = ANY(%(group)s) AND u.in_ledger
  AND l.organization_id = u.organization_id AND l.sale_id = u.sale_id AND l.entry = 'redeem:' || u.code
  AND u.customer_id IS DISTINCT FROM l.customer_id
"""
MOVE_HOLDS = """
UPDATE coupon_use SET customer_id = %(root)s
WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s) AND NOT in_ledger
"""
MOVE_GRANTS = """
WITH gone AS (
    DELETE FROM coupon_grant WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s) RETURNING *
)
INSERT INTO coupon_grant (organization_id, coupon_code, customer_id, expires_at, granted_by, granted_at)
SELECT DISTINCT ON (coupon_code) organization_id, coupon_code, %(root)s, expires_at, granted_by, granted_at
FROM gone ORDER BY coupon_code, expires_at DESC NULLS FIRST
ON CONFLICT DO NOTHING
"""
# One mail a day, week or month to a person, also when they turn out to be one. The day before stays known: a mail that
# is put back gives its own day back, and no other's.
MOVE_MAIL_DAYS = """
WITH gone AS (
    DELETE FROM mail_slot WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s) RETURNING *
)
INSERT INTO mail_slot AS s (organization_id, customer_id, last_on, previous_on, campaign_id, occasion)
SELECT organization_id, %(root)s, last_on, greatest(previous_on, lead(last_on) OVER (ORDER BY last_on DESC)),
    campaign_id, occasion
FROM gone ORDER BY last_on DESC LIMIT 1
ON CONFLICT (organization_id, customer_id) DO UPDATE SET
    (last_on, previous_on, campaign_id, occasion) = (
        SELECT later.last_on, greatest(later.previous_on, least(s.last_on, excluded.last_on)), later.campaign_id,
            later.occasion
        FROM (VALUES (s.last_on, s.previous_on, s.campaign_id, s.occasion, 1),
            (excluded.last_on, excluded.previous_on, excluded.campaign_id, excluded.occasion, 2))
            AS later (last_on, previous_on, campaign_id, occasion, n)
        ORDER BY later.last_on DESC, later.n LIMIT 1)
"""
LAST_ERASED = "SELECT max(erased_at) FROM erasure WHERE organization_id = %s AND customer_digest = ANY(%s)"
NOTE_ERASURE = """
INSERT INTO erasure AS e (organization_id, customer_digest, erased_at) VALUES (%s, %s, %s)
ON CONFLICT (organization_id, customer_digest) DO UPDATE SET erased_at = greatest(e.erased_at, excluded.erased_at)
"""
# Who was whom, of the erased: their ids go, too. What was merged later says nothing of them.
FORGET_MERGES = """
DELETE FROM customer_merge
WHERE organization_id = %(organization_id)s AND customer_id = ANY(%(ids)s) AND merged_at <= %(at)s
"""
APPEAR = """
INSERT INTO customer (organization_id, customer_id) VALUES (%(organization_id)s, %(root)s) ON CONFLICT DO NOTHING
"""
ADD_DIRTY = "INSERT INTO dirty VALUES (%(organization_id)s, %(root)s)"
# Customers of whom the ledger says nothing any more.
WITHOUT_EVENTS = """
SELECT d.organization_id, d.customer_id FROM (SELECT DISTINCT organization_id, customer_id FROM dirty) d
WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.organization_id = d.organization_id AND l.customer_id = d.customer_id)
ORDER BY 1, 2
"""

Leaver = tuple[str, str]
"""organization_id, customer_id of a row that must go"""


def apply(connection: Connection) -> list[Leaver]:
    """Carry out the merges and erasures of `incoming`; marks in `dirty` whom to recompute, returns whose row must go.

    The caller holds the organization's lock alone, so nobody adds events of these customers meanwhile.
    """
    leavers: set[Leaver] = set()
    merges = connection.execute(INCOMING, [["customer.merged"]]).fetchall()
    for organization_id, _, customer_id, at, key, into in merges:
        known = {"organization_id": organization_id, "customer_id": customer_id, "into": into, "at": at, "key": key}
        connection.execute(NOTE_MERGE, known)
    for organization_id in {row[0] for row in merges}:
        ids = {name for row in merges if row[0] == organization_id for name in (row[2], row[5])}
        leavers.update(_regroup(connection, organization_id, ids))
    for organization_id, _, customer_id, at, *_ in connection.execute(INCOMING, [["customer.erased"]]).fetchall():
        edges, group = _group(connection, organization_id, {customer_id})
        root = roots(edges).get(customer_id, customer_id)
        if _erase(connection, organization_id, group, root, at):
            leavers -= {(organization_id, name) for name in group}
            leavers.update(_regroup(connection, organization_id, group))
    leavers.update(connection.execute(WITHOUT_EVENTS).fetchall())
    return sorted(leavers)


def roots(merges: Mapping[str, Edge]) -> dict[str, str]:
    """For each merged customer, who it is in the end. In a ring the oldest merge does not count."""
    found: dict[str, str] = {}
    for start in merges:
        path = [start]
        while (here := path[-1]) in merges and (there := merges[here][0]) not in path:
            path.append(there)
        end = path[-1]
        if end in merges:  # a ring: its part of the path begins where the last merge points to
            ring = path[path.index(merges[end][0]) :]
            end = min(ring, key=lambda name: merges[name][1:])
        found[start] = end
    return found


def digest(organization_id: str, customer_id: str) -> bytes:
    """What remains of an erased customer's id."""
    return hashlib.sha256(f"{organization_id}/{customer_id}".encode()).digest()


def _group(connection: Connection, organization_id: str, ids: Iterable[str]) -> tuple[dict[str, Edge], set[str]]:
    """All merges that are connected with some customers, now or before, and everybody in them."""
    found: dict[str, Edge] = {}
    names = set(ids)
    while True:
        rows = connection.execute(CONNECTED, {"organization_id": organization_id, "ids": list(names)}).fetchall()
        found |= {row[0]: (row[1], row[2], row[3]) for row in rows}
        more = {name for row in rows for name in (row[0], row[1], row[4])}
        if more <= names:
            return found, names
        names |= more


def _regroup(connection: Connection, organization_id: str, ids: set[str]) -> list[Leaver]:
    merges, names = _group(connection, organization_id, ids)
    group = sorted(names)
    root_of = roots(merges) | {name: name for name in group if name not in merges}
    known: dict[str, Any] = {"organization_id": organization_id, "group": group}
    is_anew = False
    for root in sorted(set(root_of.values())):
        known |= {"root": root, "ids": [name for name, end in root_of.items() if end == root]}
        for statement in (SET_ROOT, ATTRIBUTE, APPEAR, ADD_DIRTY):
            connection.execute(statement, known)
        others = known | {"ids": [name for name in known["ids"] if name != root]}
        if others["ids"]:
            merged_mail.move(connection, organization_id, known["ids"], root)
        for statement in (MOVE_LIST_ENTRIES, MOVE_HOLDS, MOVE_GRANTS, MOVE_MAIL_DAYS):
            connection.execute(statement, others)
        erased_at = connection.execute(
            LAST_ERASED, [organization_id, [digest(organization_id, name) for name in known["ids"]]]
        ).fetchone()
        if erased_at and erased_at[0]:
            is_anew |= _erase(connection, organization_id, set(known["ids"]), root, erased_at[0])
    if is_anew:
        return _regroup(connection, organization_id, names)
    connection.execute(MOVE_REDEMPTIONS, known)
    return [(organization_id, name) for name in group if root_of[name] != name]


def _erase(connection: Connection, organization_id: str, ids: set[str], root: str, at: datetime) -> bool:
    """Whether merges were forgotten, so that what these customers did since is each one's own again."""
    for name in ids:
        connection.execute(NOTE_ERASURE, [organization_id, digest(organization_id, name), at])
    known = {"organization_id": organization_id, "root": root, "at": at}
    for statement in (*AT_ONCE, ADD_DIRTY):
        connection.execute(statement, known)
    return connection.execute(FORGET_MERGES, known | {"ids": list(ids)}).rowcount > 0

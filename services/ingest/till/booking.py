"""Holds, commits and releases: a batch of them in one transaction, so that no limit is ever oversold.

lock the coupons -> free what ran out -> read what each question turns on -> decide one after the other -> write.
A crash before the commit leaves nothing; after it, asking again with the same sale or hold finds what was decided.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import namedtuple_row

from services.ingest.till.asked import (
    Answer,
    Named,
    Place,
    Question,
    Redeemed,
    Released,
    Unknown,
    Use,
    Wanted,
)
from services.ingest.till.changes import Changes
from services.ingest.till.known import Connection, Known, look
from shared.domain.coupons import Offer, Reason, ReasonCode, Refused, judge
from shared.domain.coupons.decision import by_limits

RELEASED = Reason(ReasonCode.RELEASED, "This coupon was taken off the sale. Ask for it again.")
# Which use a hold is: that does not change as long as there is one.
_NAMED = """
SELECT u.code, u.sale_id, u.customer_id
FROM unnest(%s::text[], %s::uuid[]) WITH ORDINALITY AS q (organization_id, hold_id, n)
LEFT JOIN coupon_use u ON u.organization_id = q.organization_id AND u.hold_id = q.hold_id
ORDER BY q.n
"""


def quote(connection: Connection, questions: Sequence[Wanted], now: datetime) -> list[Offer | Refused]:
    """What each basket would get off now; nothing is locked and nothing changes."""
    asked = [(wanted.place, wanted.basket.customer_id) for wanted in questions]
    with connection.transaction():
        found = look(connection, asked, now, lock=False)
    return [_judge(wanted, known, now, Changes()) for wanted, known in zip(questions, found, strict=True)]


def book(connection: Connection, questions: Sequence[Question], now: datetime, hold_for: timedelta) -> list[Answer]:
    """Answer a batch in which no code of a sale and no hold comes twice. Raises psycopg.Error with nothing done."""
    answers: list[Answer] = []
    changes = Changes()
    with connection.transaction():
        places = _places(connection, questions)
        known = iter(look(connection, [place for place in places if place is not None], now, lock=True))
        for question, place in zip(questions, places, strict=True):
            if place is None:
                answers.append(Unknown())
            elif isinstance(question, Wanted):
                answers.append(_hold(question, next(known), now, hold_for, changes))
            else:
                answers.append(_settle(question, next(known), place[0], now, changes))
        changes.write(connection)
    return answers


def _places(connection: Connection, questions: Sequence[Question]) -> list[tuple[Place, str | None] | None]:
    """The use that each question is about, and its customer; None for a hold that does not exist."""
    named = [question for question in questions if isinstance(question, Named)]
    rows: list[Any] = []
    if named:
        columns = [[each.organization_id for each in named], [each.hold_id for each in named]]
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            rows = cursor.execute(_NAMED, columns).fetchall()
    found = iter(rows)
    places: list[tuple[Place, str | None] | None] = []
    for question in questions:
        if isinstance(question, Wanted):
            places.append((question.place, question.basket.customer_id))
        else:
            row = next(found)
            place = (question.organization_id, row.code, row.sale_id)
            places.append(None if row.code is None else (place, row.customer_id))
    return places


def _hold(wanted: Wanted, known: Known, now: datetime, hold_for: timedelta, changes: Changes) -> Answer:
    row, sale_id = known.row, wanted.basket.sale_id
    hold_id = str(row.hold_id or uuid.uuid4())
    if row.state in ("held", "redeemed"):  # the same sale: the same answer
        if row.hold_id is None:
            changes.number(wanted, hold_id)
        return _use(hold_id, wanted.code, sale_id, row)
    decision = _judge(wanted, known, now, changes)
    if isinstance(decision, Refused):
        return decision
    use = Use(hold_id, wanted.code, sale_id, decision.discount, decision.lines, now + hold_for, is_new=True)
    changes.hold(wanted, known, use, now)
    return use


def _settle(named: Named, known: Known, place: Place, now: datetime, changes: Changes) -> Answer:
    row, is_release = known.row, named.is_release
    _, code, sale_id = place
    if row.state in ("redeemed", "given_back"):
        return Redeemed() if is_release else _use(str(row.hold_id), code, sale_id, row)
    if is_release:
        if row.state == "held":
            changes.release(known, code, sale_id)
        return Released()
    if row.state == "released":
        return Refused((RELEASED,))
    if row.state == "expired" and known.rules is not None:
        reasons = tuple(by_limits(known.rules.coupon, _facts(known, code, changes), known.customer_id))
        if reasons:
            return Refused(reasons)
    changes.redeem(known, code, sale_id, now)
    return replace(_use(str(row.hold_id), code, sale_id, row), redeemed_at=now)


def _judge(wanted: Wanted, known: Known, now: datetime, changes: Changes) -> Offer | Refused:
    rules = known.rules
    return judge(
        rules.coupon if rules else None,
        replace(wanted.basket, customer_id=known.customer_id),
        _facts(known, wanted.code, changes),
        now,
        currency=rules.currency if rules else "",
        time_zone=rules.time_zone if rules else "UTC",
        code=wanted.code,
    )


def _facts(known: Known, code: str, changes: Changes) -> Any:
    return known.facts(
        changes.held[known.key] + changes.redemptions[known.key],
        changes.by_customer[known.key, known.customer_id],
        changes.by_code[known.key[0], code],
    )


def _use(hold_id: str, code: str, sale_id: str, row: Any) -> Use:
    lines = tuple((index, discount) for index, discount in row.lines or ())
    return Use(hold_id, code, sale_id, row.discount, lines, row.expires_at, row.redeemed_at)

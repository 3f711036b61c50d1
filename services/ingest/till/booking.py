"""Holds, commits and releases: a batch of them in one transaction, so that no limit is ever oversold.

lock the coupons -> free what ran out -> read what each question turns on -> decide one after the other -> write.
A crash before the commit leaves nothing; after it, asking again with the same sale or hold finds what was decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

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


def quote(connection: Connection, questions: Sequence[Wanted], now: datetime) -> list[Offer | Refused]:
    """What each basket would get off now; nothing is locked and nothing changes."""
    asked = [(wanted.place, wanted.basket.customer_id) for wanted in questions]
    with connection.transaction():
        found = look(connection, asked, now, lock=False)
    return [_judge(wanted, known, now, Changes()) for wanted, known in zip(questions, found, strict=True)]


def book(connection: Connection, questions: Sequence[Question], now: datetime, hold_for: timedelta) -> list[Answer]:
    """Answer a batch in which no use comes twice. Raises psycopg.Error with nothing done."""
    asked = [(each.place, each.basket.customer_id if isinstance(each, Wanted) else None) for each in questions]
    answers: list[Answer] = []
    changes = Changes()
    with connection.transaction():
        for question, known in zip(questions, look(connection, asked, now, lock=True), strict=True):
            if isinstance(question, Wanted):
                answers.append(_hold(question, known, now, hold_for, changes))
            else:
                answers.append(_settle(question, known, now, changes))
        changes.write(connection, now, now + hold_for)
    return answers


def _hold(wanted: Wanted, known: Known, now: datetime, hold_for: timedelta, changes: Changes) -> Answer:
    if known.row.state in ("held", "redeemed"):  # the same sale: the same answer
        return _use(wanted.place, known.row)
    decision = _judge(wanted, known, now, changes)
    if isinstance(decision, Refused):
        return decision
    use = Use(wanted.place, decision.discount, decision.lines, now + hold_for, is_new=True)
    changes.hold(wanted, known, use)
    return use


def _settle(named: Named, known: Known, now: datetime, changes: Changes) -> Answer:
    row, place = known.row, named.place
    if row.state is None:
        return Unknown()
    if row.state in ("redeemed", "given_back"):
        return Redeemed() if named.is_release else _use(place, row)
    if named.is_release:
        if row.state == "held":
            changes.release(known, place)
        return Released()
    if row.state == "released":
        return Refused((RELEASED,))
    if row.state == "expired" and known.rules is not None:
        reasons = tuple(by_limits(known.rules.coupon, _facts(known, place[1], changes), known.customer_id))
        if reasons:
            return Refused(reasons)
    changes.redeem(known, place)
    return replace(_use(place, row), redeemed_at=now)


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


def _use(place: Place, row: Any) -> Use:
    lines = tuple((index, discount) for index, discount in row.lines or ())
    return Use(place, row.discount, lines, row.expires_at, row.redeemed_at)

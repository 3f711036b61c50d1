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
from services.ingest.till.known import Known, look
from services.ingest.till.rules import Connection
from shared.domain.coupons import Facts, Offer, Reason, ReasonCode, Refused, judge
from shared.domain.coupons.decision import by_limits

RELEASED = Reason(ReasonCode.RELEASED, "This coupon was taken off the sale. Ask for it again.")


def quote(connection: Connection, questions: Sequence[Wanted], now: datetime) -> list[Offer | Refused]:
    """What each basket would get off now; nothing is locked and nothing changes."""
    with connection.pipeline():
        found = look(connection, questions, now, lock=False)
    return [_judge(wanted, known, now, Changes()) for wanted, known in zip(questions, found, strict=True)]


def book(connection: Connection, questions: Sequence[Question], now: datetime, hold_for: timedelta) -> list[Answer]:
    """Answer a batch in which no use comes twice. Raises psycopg.Error with nothing done."""
    answers: list[Answer] = []
    changes = Changes()
    # Until its end a pipeline is one transaction, without a BEGIN and a COMMIT to send and to wait for.
    with connection.pipeline():
        for question, known in zip(questions, look(connection, questions, now, lock=True), strict=True):
            if isinstance(question, Wanted):
                answers.append(_hold(question, known, now, hold_for, changes))
            else:
                answers.append(_settle(question, known, now, changes))
        changes.write(connection, now, now + hold_for)
    return answers


def _hold(wanted: Wanted, known: Known, now: datetime, hold_for: timedelta, changes: Changes) -> Answer:
    if known.use.state in ("held", "redeemed"):  # the same sale: the same answer
        return _use(wanted.place, known.use)
    decision = _judge(wanted, known, now, changes)
    if isinstance(decision, Refused):
        return decision
    use = Use(wanted.place, decision.discount, decision.lines, now + hold_for, is_new=True)
    changes.hold(wanted, known, use)
    return use


def _settle(named: Named, known: Known, now: datetime, changes: Changes) -> Answer:
    use, place = known.use, named.place
    if use.state is None:
        return Unknown()
    if use.state in ("redeemed", "given_back"):
        return Redeemed() if named.is_release else _use(place, use)
    if named.is_release:
        if use.state == "held":
            changes.release(known, place)
        return Released()
    if use.state == "released":
        return Refused((RELEASED,))
    if use.state == "expired" and known.rules is not None:
        reasons = tuple(by_limits(known.rules.coupon, _facts(known, place[1], now, changes), use.customer_id))
        if reasons:
            return Refused(reasons)
    changes.redeem(known, place)
    return replace(_use(place, use), redeemed_at=now)


def _judge(wanted: Wanted, known: Known, now: datetime, changes: Changes) -> Offer | Refused:
    rules = known.rules
    basket = wanted.basket
    if basket.customer_id != known.use.customer_id:  # merged, or this sale's from before
        basket = replace(basket, customer_id=known.use.customer_id)
    return judge(
        rules.coupon if rules else None,
        basket,
        _facts(known, wanted.code, now, changes),
        now,
        currency=rules.currency if rules else "",
        time_zone=rules.time_zone if rules else "UTC",
        code=wanted.code,
    )


def _facts(known: Known, code: str, now: datetime, changes: Changes) -> Facts:
    key = known.key
    return known.facts(
        now,
        changes.held[key] + changes.redemptions[key],
        changes.by_customer[key, known.use.customer_id],
        changes.by_code[key[0], code],
    )


def _use(place: Place, row: Any) -> Use:
    lines = tuple((index, discount) for index, discount in row.lines or ())
    return Use(place, row.discount, lines, row.expires_at, row.redeemed_at)

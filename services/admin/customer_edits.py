"""Creating, changing and erasing customers: which events say it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, func, select

from services.admin import audit, customers
from services.admin.customer_events import CONSOLE, Change, CustomerEvents, are_counted, wait_until_counted
from services.admin.customers import Customer
from services.admin.patches import refuse_unknown
from services.admin.versions import check_tag
from shared.domain.event_data import CustomerUpsertedData
from shared.errors import ConflictError, InvalidError
from shared.keys import Key

UPSERTED = tuple(
    name
    for name in CustomerUpsertedData.model_fields
    if name not in {"organization_id", "store_id", "terminal_id", "customer_id", "verified_email"}
)
CONSENT = {"marketing_consent": "marketing_consent", "consent_where": "where", "consent_wording": "wording"}
ALLOWED = (*UPSERTED, *CONSENT)
LOCK = 1_919_378_017  # the first of the two numbers of an advisory lock: edits of customers


class Edited(NamedTuple):
    """What came of an edit; without a customer it is accepted but not counted yet."""

    customer_id: str
    customer: Customer | None


class CustomerEdits:
    """Safe to use from many threads."""

    def __init__(self, engine: Engine, events: CustomerEvents) -> None:
        self._engine = engine
        self._events = events

    def create(self, key: Key, given: Mapping[str, Any], now: datetime, request_key: str | None) -> Edited:
        """Create a customer; the id is given or made. A repeated request with the same key creates nothing twice.

        Raises InvalidError, ConflictError (there is one already) and TransientError.
        """
        seed = f"{key.organization_id}\n{request_key}" if request_key else uuid.uuid4().hex
        customer_id = given.get("customer_id") or f"c-{_digest(seed)[:16]}"
        fields = {name: value for name, value in given.items() if name != "customer_id"}
        changes = changes_of(customer_id, fields, _digest(seed), always=True)
        organization_id = key.organization_id
        with self._engine.begin() as connection:
            if not customers.exists(connection, organization_id, customer_id):
                self._publish(organization_id, changes, now)
                _record(connection, key, "customer.created", customer_id, fields)
            elif not are_counted(connection, organization_id, changes[:1]):
                raise ConflictError(
                    f"Customer {customer_id!r} exists already. Change that one instead, or choose another id."
                )
        return self._counted(organization_id, customer_id, changes)

    def change(
        self, key: Key, customer_id: str, given: Mapping[str, Any], now: datetime, if_match: str | None
    ) -> Edited:
        """Change what is given; null clears. With `if_match` (412), only if nobody changed the profile meanwhile."""
        changes = changes_of(customer_id, given, uuid.uuid4().hex)
        with self._engine.begin() as connection:
            if if_match is not None:
                # Two edits that both saw the same profile go one after the other, and the second sees the first.
                connection.execute(select(func.pg_advisory_xact_lock(LOCK, _lock_number(key, customer_id))))
            before = customers.read(connection, key.organization_id, customer_id)
            check_tag(if_match, customers.etag(before))
            if not changes:
                return Edited(customer_id, before)
            self._publish(key.organization_id, changes, now)
            _record(connection, key, "customer.changed", customer_id, given)
            counted = if_match is None or wait_until_counted(connection, key.organization_id, changes)
        return self._counted(key.organization_id, customer_id, changes) if counted else Edited(customer_id, None)

    def erase(self, key: Key, customer_id: str, now: datetime) -> bool:
        """Erase a customer for good; False while it is accepted but not done yet. Raises NotFoundError."""
        changes = [Change(uuid.uuid4().hex, "customer.erased", {"customer_id": customer_id})]
        with self._engine.begin() as connection:
            customers.read(connection, key.organization_id, customer_id)
            self._events.publish(key.organization_id, changes, now)
            # Nothing may tell who it was.
            audit.record(connection, key, "customer.erased", "customer")
        with self._engine.connect() as connection:
            return wait_until_counted(connection, key.organization_id, changes)

    def _publish(self, organization_id: str, changes: list[Change], now: datetime) -> None:
        try:
            self._events.publish(organization_id, changes, now)
        except InvalidError as error:  # in the words of the request
            given = {said: name for name, said in CONSENT.items()}.get(error.field, error.field)
            raise InvalidError(error.message, given, error.code) from None

    def _counted(self, organization_id: str, customer_id: str, changes: list[Change]) -> Edited:
        with self._engine.connect() as connection:
            if not wait_until_counted(connection, organization_id, changes):
                return Edited(customer_id, None)
            return Edited(customer_id, customers.read(connection, organization_id, customer_id))


def changes_of(
    customer_id: str, given: Mapping[str, Any], event_id: str, *, always: bool = False, where: str = CONSOLE
) -> list[Change]:
    """The events that say what is given: the profile's, if any field is its own (or `always`), and the consent's.

    `where` is the evidence of a consent that comes without. Raises InvalidError.
    """
    refuse_unknown(given, ALLOWED)
    changes = []
    upserted = {name: value for name, value in given.items() if name in UPSERTED}
    if upserted or always:
        changes.append(Change(f"{event_id}-1", "customer.upserted", {"customer_id": customer_id} | upserted))
    consent = {CONSENT[name]: value for name, value in given.items() if name in CONSENT}
    if consent:
        if "marketing_consent" not in consent:
            raise InvalidError("is missing: give the consent that the evidence belongs to", "marketing_consent")
        evidence = {"where": where} | consent
        changes.append(Change(f"{event_id}-2", "customer.consent_changed", {"customer_id": customer_id} | evidence))
    return changes


def _record(connection: Connection, key: Key, action: str, customer_id: str, given: Mapping[str, Any]) -> None:
    audit.record(connection, key, action, f"customer:{customer_id}", fields=sorted(given))


def _digest(seed: str) -> str:
    return sha256(seed.encode()).hexdigest()[:32]


def _lock_number(key: Key, customer_id: str) -> int:
    digest = sha256(f"{key.organization_id}/{customer_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big", signed=True)

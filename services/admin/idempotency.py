"""A POST that is sent again with the same Idempotency-Key finds what the first one made, and makes nothing.

What was made is noted in the transaction that made it, so there is never one without the other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from shared.database.tables import idempotency
from shared.errors import InvalidError
from shared.keys import Key

KEPT = timedelta(hours=24)


def once(connection: Connection, key: Key, request_key: str | None, request: BaseModel, make: Callable[[], str]) -> str:
    """The id that `make` gives, or gave to the same request before. Raises InvalidError for another request.

    Two at once wait for each other: the second finds the row of the first when that has committed.
    """
    if request_key is None:
        return make()
    its_row = (idempotency.c.organization_id == key.organization_id) & (idempotency.c.request_key == request_key)
    old = idempotency.c.created_at < func.now() - KEPT
    connection.execute(delete(idempotency).where(idempotency.c.organization_id == key.organization_id, old))
    try:
        digest = sha256(f"{type(request).__name__}\n{request.model_dump_json()}".encode()).digest()
    except PydanticSerializationError as error:
        raise InvalidError("is nested deeper than anything here: flatten it", "body") from error
    row = {"organization_id": key.organization_id, "request_key": request_key, "request_digest": digest, "made": ""}
    is_first = connection.execute(
        insert(idempotency).values(row).on_conflict_do_nothing().returning(idempotency.c.request_key)
    ).first()
    if is_first is not None:
        made = make()
        connection.execute(update(idempotency).where(its_row).values(made=made))
        return made
    earlier = connection.execute(select(idempotency).where(its_row)).one()
    if earlier.request_digest != digest:
        raise InvalidError("was given with another request before; choose a new one", "Idempotency-Key")
    return str(earlier.made)

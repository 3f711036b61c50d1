"""Finding customers by the beginning of their id, of their address or of words of their name, among millions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, cast, func, literal_column, or_, select, union
from sqlalchemy.dialects.postgresql import TSQUERY

from shared.database.tables import NAME_WORDS, WORD_ENDS, customer

NEAR: Final = 2_000
Condition = ColumnElement[bool]
_ID: Final = customer.c.customer_id
_EMAIL: Final = func.lower(customer.c.email)
_LAST: Final = "\U0010ffff"  # behind every letter
_SPACES: Final = str.maketrans(dict.fromkeys(WORD_ENDS, " "))


def first(
    connection: Connection, organization_id: str, text: str, most: int, *, after: str, only: Iterable[Condition] = ()
) -> list[str]:
    """The ids of the first `most` customers behind `after`, by id, whom `text` finds; `only` narrows who that may be.

    Where many customers share the letters, it is quick to read on by id; where few do, an index is. The planner takes
    the slow one where it guesses wrongly how many do. So we look at the next NEAR customers, and only then at all.
    """
    own = [customer.c.organization_id == organization_id, after < _ID]
    end = connection.execute(select(_ID).where(*own).order_by(_ID).offset(NEAR - 1).limit(1)).scalar()
    own += only
    by_id, others = _by_id(text), [_by_address(text), *_by_name(organization_id, text)]
    near = own if end is None else [*own, end >= _ID]
    found = connection.execute(select(_ID).where(*near, or_(*by_id, *others)).order_by(_ID).limit(most))
    ids = list(found.scalars())
    if end is None or len(ids) == most:
        return ids
    # Ids are read in their order and no further than needed. Of the others all are found before they are ordered.
    ways = [select(_ID).where(*own, way).order_by(_ID).limit(most) for way in by_id]
    ways += [select(_ID).where(*own, way) for way in others]
    everywhere = union(*ways).cte("found").prefix_with("MATERIALIZED").c.customer_id
    return list(connection.execute(select(everywhere).order_by(everywhere).limit(most)).scalars())


def _by_id(text: str) -> list[Condition]:
    """As it was typed, and in the case that most ids are in."""
    return [and_(start <= _ID, start + _LAST > _ID) for start in sorted({text, text.lower(), text.upper()})]


def _by_address(text: str) -> Condition:
    return and_(_EMAIL.bool_op("~>=~")(func.lower(text)), _EMAIL.bool_op("~<~")(func.lower(text + _LAST)))


def _by_name(organization_id: str, text: str) -> list[Condition]:
    """Each word that was typed begins one of the name's; none where no word was typed."""
    words = [word.replace("\\", r"\\") for word in text.translate(_SPACES).split()]
    wanted = " & ".join(f"'{organization_id}/{word}':*" for word in words)
    fits = literal_column(NAME_WORDS).bool_op("@@")(cast(func.lower(wanted), TSQUERY))
    return [and_(customer.c.name.is_not(None), fits)] if words else []

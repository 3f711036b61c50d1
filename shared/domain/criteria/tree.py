"""The tree: reading it, and asking it what it asks its leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, and_, func, not_, or_

from shared.domain.criteria import birthdays, instants, labels, numbers, windows
from shared.domain.criteria.columns import NEVER, Bools, Columns, Integers
from shared.domain.criteria.leaf import Leaf, Money, Reader, Tables
from shared.errors import InvalidError
from shared.wording import shown

DEEPEST = 10
MOST_LEAVES = 200
FIELDS: dict[str, Callable[[Reader], Leaf]] = {
    **numbers.FIELDS,
    **instants.FIELDS,
    **labels.FIELDS,
    **birthdays.FIELDS,
    **windows.FIELDS,
}

Indexed = int | tuple[str, tuple["Indexed", ...]]
"""A tree whose leaves are places in a list of them."""


@dataclass(frozen=True)
class Node:
    """`all`, `any` or `not` over parts."""

    kind: str
    parts: tuple[Node | Leaf, ...]


@dataclass(frozen=True)
class Criteria:
    """A whole tree, valid."""

    root: Node | Leaf

    def leaves(self) -> frozenset[Leaf]:
        return frozenset(_leaves(self.root))

    @property
    def columns(self) -> frozenset[str]:
        return frozenset().union(*(leaf.columns for leaf in self.leaves()))

    def where(self, tables: Tables, now: datetime) -> ColumnElement[bool]:
        """The SQL predicate over `tables.customer`; never null."""
        return _where(self.root, tables, now)

    def holds(self, columns: Columns, now: int) -> Bools:
        """Who is in, at `now` (microseconds since 1970)."""
        return next(Plan([self]).holds(columns, now))

    def flips(self, columns: Columns, now: int) -> Integers:
        """For each customer an instant until which time alone cannot change `holds`."""
        return Plan([self]).flips(columns, now)

    def due(self, tables: Tables, now: datetime) -> ColumnElement[Any] | None:
        """`flips` in SQL, null where it is never; None: for nobody."""
        found = [due for leaf in self.leaves() if (due := leaf.due(tables, now)) is not None]
        return func.least(*found) if found else None

    def sentence(self, money: Money) -> str:
        return _sentence(self.root, money, top=True)


class Plan:
    """Several trees that are asked about the same customers: each distinct leaf once, all ages of a column at once."""

    def __init__(self, criteria: Sequence[Criteria]) -> None:
        places: dict[Leaf, int] = {}
        self._trees = [_indexed(each.root, places) for each in criteria]
        self._leaves = tuple(places)
        self._last = _last_asked(self._trees)
        self._timed = [leaf for leaf in self._leaves if not isinstance(leaf, instants.Age)]
        self._spans = instants.spans_of(self._leaves)

    def holds(self, columns: Columns, now: int) -> Iterator[Bools]:
        """Who is in, for each tree in order, at `now` (microseconds since 1970)."""
        answers = _Answers(self._leaves, columns, now)
        for tree, last in zip(self._trees, self._last, strict=True):
            yield _combined(tree, answers)
            for place in last:  # of thousands of leaves, the answers would be a lane's largest part
                del answers[place]

    def flips(self, columns: Columns, now: int) -> Integers:
        """For each customer the earliest instant after `now` at which time alone can change what a leaf says."""
        earliest = np.full(columns.size, NEVER, np.int64)
        for leaf in self._timed:
            flips = leaf.flips(columns, now)
            if flips is not None:
                np.minimum(earliest, flips, out=earliest)
        for name, spans in self._spans.items():
            np.minimum(earliest, instants.first_flip(columns[name], spans, now), out=earliest)
        return earliest


def parse(tree: object) -> Criteria:
    """Read a tree from JSON. Raises InvalidError whose field is the path: `criteria.all[2].op`."""
    count = [0]
    return Criteria(_read(tree, "criteria", 1, count))


def references(tree: Any, path: str = "criteria") -> Iterator[tuple[str, str]]:
    """The static segments that a valid tree names, each with the path of its name: `criteria.all[2].value`."""
    if "field" in tree:
        if tree["field"] == "segment":
            yield f"{path}.value", tree["value"]
        return
    for kind, inside in tree.items():
        parts = (
            {f"{path}.not": inside} if kind == "not" else {f"{path}.{kind}[{n}]": part for n, part in enumerate(inside)}
        )
        for where, part in parts.items():
            yield from references(part, where)


def _read(tree: object, path: str, depth: int, count: list[int]) -> Node | Leaf:
    if not isinstance(tree, Mapping):
        raise InvalidError(f"must be an object with all, any, not or field; got {shown(tree)}", path, "criteria")
    if depth > DEEPEST:
        raise InvalidError(f"lies deeper than {DEEPEST} levels; flatten the tree", path, "criteria")
    if "field" in tree:
        return _read_leaf(tree, path, count)
    kinds = [kind for kind in ("all", "any", "not") if kind in tree]
    if len(kinds) != 1 or len(tree) != 1:
        got = ", ".join(map(str, tree)) or "nothing"
        raise InvalidError(f"must have exactly one of all, any, not or field; got {got}", path, "criteria")
    kind = kinds[0]
    inside = tree[kind]
    if kind == "not":
        return Node(kind, (_read(inside, f"{path}.not", depth + 1, count),))
    if not isinstance(inside, list) or not inside:
        raise InvalidError("must be a list of at least one condition", f"{path}.{kind}", "criteria")
    parts = (_read(part, f"{path}.{kind}[{index}]", depth + 1, count) for index, part in enumerate(inside))
    return Node(kind, tuple(parts))


def _read_leaf(tree: Mapping[str, Any], path: str, count: list[int]) -> Leaf:
    count[0] += 1
    if count[0] > MOST_LEAVES:
        raise InvalidError(f"has more than {MOST_LEAVES} conditions; split the segment", "criteria", "criteria")
    reader = Reader(tree, path)
    read = FIELDS.get(tree["field"]) if isinstance(tree["field"], str) else None
    if read is None:
        raise reader.fail(f"{shown(tree['field'])} is not a field; fields: {', '.join(FIELDS)}", "field")
    leaf = read(reader)
    reader.done()
    return leaf


def _leaves(node: Node | Leaf) -> Iterator[Leaf]:
    if isinstance(node, Node):
        for part in node.parts:
            yield from _leaves(part)
    else:
        yield node


def _where(node: Node | Leaf, tables: Tables, now: datetime) -> ColumnElement[bool]:
    if not isinstance(node, Node):
        return node.where(tables, now)
    parts = [_where(part, tables, now) for part in node.parts]
    if node.kind == "not":
        return not_(parts[0])
    return and_(*parts) if node.kind == "all" else or_(*parts)


def _indexed(node: Node | Leaf, places: dict[Leaf, int]) -> Indexed:
    if isinstance(node, Node):
        return node.kind, tuple(_indexed(part, places) for part in node.parts)
    return places.setdefault(node, len(places))


class _Answers(dict[int, Bools]):
    """What leaves say, by place, each asked when first looked for."""

    def __init__(self, leaves: Sequence[Leaf], columns: Columns, now: int) -> None:
        super().__init__()
        self._leaves, self._columns, self._now = leaves, columns, now

    def __missing__(self, place: int) -> Bools:
        answer = self[place] = self._leaves[place].holds(self._columns, self._now)
        return answer


def _last_asked(trees: Sequence[Indexed]) -> list[set[int]]:
    """For each tree the leaves that no later one asks."""
    later: set[int] = set()
    found: list[set[int]] = []
    for tree in reversed(trees):
        mine = set(_places(tree)) - later
        later |= mine
        found.append(mine)
    return found[::-1]


def _places(tree: Indexed) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
    else:
        for part in tree[1]:
            yield from _places(part)


def _combined(tree: Indexed, answers: Mapping[int, Bools]) -> Bools:
    if isinstance(tree, int):
        return answers[tree]
    kind, parts = tree
    first, *rest = [_combined(part, answers) for part in parts]
    if kind == "not":
        return ~first
    combine = np.logical_and if kind == "all" else np.logical_or
    for part in rest:
        first = combine(first, part)
    return first


def _sentence(node: Node | Leaf, money: Money, *, top: bool = False) -> str:
    if not isinstance(node, Node):
        return node.sentence(money)
    if node.kind == "not":
        return f"not ({_sentence(node.parts[0], money, top=True)})"
    parts = [_sentence(part, money) for part in node.parts]
    text = (" and " if node.kind == "all" else " or ").join(parts)
    return text if top or len(parts) == 1 else f"({text})"

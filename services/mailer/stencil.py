"""A text with holes, as bytes: what a campaign's mails have in common stands ready in the form in which it is handed
over, and the values of many mails are put in by column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Final, NamedTuple, get_args
from urllib.parse import quote

from msgspec.json import encode

from shared.domain.links import Purpose
from shared.domain.templating import Parts, Slot

# Values of ours: letters, digits, dots and dashes, which stand everywhere as they are.
OURS: Final = frozenset({*get_args(Purpose), "message_id"})
# No value from the database holds it.
NUL: Final = "\0"

Columns = Mapping[str, Sequence[str]]
"""Values of mails by name, the n-th of each the n-th mail's."""
Encode = Callable[[Sequence[str]], Sequence[bytes]]


class Hole(NamedTuple):
    """What comes into a text by a value's name; `default` where the value is missing or empty."""

    name: str
    default: str
    written: Encode


class Stencil:
    """The bytes around the holes stay as they are."""

    def __init__(self, pieces: Iterable[bytes | Hole]) -> None:
        self._holes: dict[Hole, list[int]] = {}
        self._text: list[bytes] = []
        between: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, Hole):
                self._text += [b"".join(between), b""]
                between.clear()
                self._holes.setdefault(piece, []).append(len(self._text) - 1)
            else:
                between.append(piece)
        self._text.append(b"".join(between))

    def filled(self, columns: Columns, number: int, together: int = 1) -> list[bytes]:
        """So many texts with these values, some `together` one behind the other. Each value is encoded once, however
        often it stands there.
        """
        # All texts one after the other: a column's values go to each of its places in one assignment.
        size, pieces = len(self._text), self._text * number
        for (name, default, written), places in self._holes.items():
            made = written([value or default for value in columns.get(name) or [default] * number])
            for place in places:
                pieces[place::size] = made
        step = size * together
        return [b"".join(pieces[n : n + step]) for n in range(0, len(pieces), step)]


def pieces_of(parts: Parts, ways: Mapping[str, Encode]) -> list[bytes | Hole]:
    """A compiled text's pieces in one of the `ways`."""
    return [
        Hole(part.name, part.default, as_utf8 if part.name in OURS else ways[part.context])
        if isinstance(part, Slot)
        else ways["text"]([part])[0]
        for part in parts
    ]


def ways(written: Encode) -> dict[str, Encode]:
    """What is done with values in each place of a text whose every piece goes through `written`."""
    return {
        "text": written,
        "html": lambda values: written(_escaped(values)),
        "link": lambda values: written([quote(value, safe="") for value in values]),
    }


def as_utf8(values: Sequence[str]) -> list[bytes]:
    """As they are."""
    return [*map(str.encode, values)]


def in_json(values: Sequence[str]) -> list[bytes]:
    """As they stand between the quotes of JSON."""
    # Inside of a string each quote has a backslash before it, so these three characters never stand there.
    return encode(values)[2:-2].split(b'","') if values else []


def _escaped(values: Sequence[str]) -> list[str]:
    """For HTML, all at once."""
    made = escape(NUL.join(values)).split(NUL)
    return made if len(made) == len(values) else [escape(value) for value in values]

"""A text with holes, as bytes: what a campaign's mails have in common stands ready in the form in which it is handed
over, and each mail is one operation on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from html import escape
from operator import itemgetter
from typing import Final, NamedTuple, get_args
from urllib.parse import quote

from shared.domain.links import Purpose
from shared.domain.templating import Parts, Slot

# Values of ours: letters, digits, dots and dashes, which stand everywhere as they are.
OURS: Final = frozenset({*get_args(Purpose), "message_id"})
KEPT: Final = 4_096

Encode = Callable[[str], bytes]


class Hole(NamedTuple):
    """What comes into a text by a value's name; `default` where the value is missing or empty."""

    name: str
    default: str
    encode: Encode


class Stencil:
    """The bytes around the holes stay as they are."""

    def __init__(self, pieces: Iterable[bytes | Hole]) -> None:
        holes: dict[Hole, int] = {}
        places = []
        template = []
        for piece in pieces:
            if isinstance(piece, Hole):
                places.append(holes.setdefault(piece, len(holes)))
                template.append(b"%b")
            else:
                template.append(piece.replace(b"%", b"%%"))
        self._template = b"".join(template)
        self._holes = tuple(holes)
        self._spread = itemgetter(*places) if len(places) > 1 else lambda made: tuple(made[n] for n in places)

    def filled(self, values: Mapping[str, str]) -> bytes:
        """The text with these values. Each is encoded once, however often it stands there."""
        made = [encode(values.get(name) or default) for name, default, encode in self._holes]
        return self._template % self._spread(made)


def pieces_of(parts: Parts, ways: Mapping[str, Encode]) -> list[bytes | Hole]:
    """A compiled text's pieces in one of the `ways`."""
    return [
        Hole(part.name, part.default, str.encode if part.name in OURS else ways[part.context])
        if isinstance(part, Slot)
        else ways["text"](part)
        for part in parts
    ]


def ways(encode: Encode) -> dict[str, Encode]:
    """What is done with a value in each place of a text whose every piece goes through `encode`. Customers share names
    and days, so what was escaped lately is kept.
    """
    return {
        "text": encode,
        "html": lru_cache(maxsize=KEPT)(lambda value: encode(escape(value))),
        "link": lru_cache(maxsize=KEPT)(lambda value: encode(quote(value, safe=""))),
    }

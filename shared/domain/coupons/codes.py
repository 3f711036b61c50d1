"""Codes: how they read, which are easily confused, and how new ones are made.

New ones use 32 characters that nobody mistakes for others and end in a check character. Over GF(32), each character
times a power of an element that is neither 0 nor 1 sums to 0: one wrong character changes the sum, and so does a swap
of two neighbours, because their weights differ.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from shared.errors import InvalidError

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # without 0 and O, 1 and I
SHARED_LENGTH = 8  # short enough for a poster
UNIQUE_LENGTH = 14  # 13 free characters: 65 bits, which nobody guesses
MOST_TYPED = 64
_PLACE = {character: place for place, character in enumerate(ALPHABET)}
_SHAPE = re.compile(r"[A-Z0-9]{4,20}")
_BLANKS = re.compile(r"[\s\-\u2010-\u2015_.]")  # also the dashes that word processors make
_CONFUSING = {"0": "O", "O": "0", "1": "I", "I": "1"}
_MODULUS = 0b100101  # x^5 + x^2 + 1, irreducible


def normalise(typed: str) -> str:
    """A code as it is stored: capitals, without the blanks and dashes people put in."""
    return _BLANKS.sub("", typed).upper()


def check_shape(code: str, field: str = "code") -> str:
    """The normalised code. Raises InvalidError for what is not 4 to 20 letters and digits."""
    code = normalise(code)
    if not _SHAPE.fullmatch(code):
        raise InvalidError("must be 4 to 20 letters A-Z and digits", field)
    return code


def warnings(code: str) -> list[str]:
    """What a person may misread."""
    found = [character for character in "0O1I" if character in code]
    return [f"{character} is easily taken for {_CONFUSING[character]}" for character in found]


def generate(length: int = SHARED_LENGTH, choose: Callable[[str], str] = secrets.choice) -> str:
    """A new code that cannot be guessed, with its check character."""
    body = "".join(choose(ALPHABET) for _ in range(length - 1))
    return body + check_character(body)


def generate_many(count: int, length: int = UNIQUE_LENGTH) -> set[str]:
    """So many different codes: by one draw of random bytes, since a million single choices take half a minute."""
    found: set[str] = set()
    while len(found) < count:
        missing = count - len(found)
        drawn = secrets.token_bytes(missing * (length - 1))
        text = drawn.translate(_BYTE_TO_CHARACTER).decode("ascii")
        for start in range(0, len(text), length - 1):
            body = text[start : start + length - 1]
            found.add(body + check_character(body))
    return found


def check_character(body: str) -> str:
    """The character that makes the weighted sum 0."""
    total = 0
    for character in body:
        total = _TIMES_X[total ^ _PLACE[character]]
    return ALPHABET[total]


def is_well_formed(code: str) -> bool:
    """Whether a generated code reads as it was made."""
    return len(code) > 1 and all(character in _PLACE for character in code) and check_character(code[:-1]) == code[-1]


def hint(code: str) -> str:
    """What a cashier can do about a code that does not exist."""
    if len(code) == UNIQUE_LENGTH and not is_well_formed(code):
        return "A character of it seems to be wrong: read it again."
    return "Please read it again."


def _times_x(value: int) -> int:
    doubled = value << 1
    return doubled ^ _MODULUS if doubled & 0b100000 else doubled


_TIMES_X = [_times_x(value) for value in range(32)]
_BYTE_TO_CHARACTER = bytes(ord(ALPHABET[byte % 32]) for byte in range(256))

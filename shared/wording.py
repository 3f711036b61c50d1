"""Numbers and values as messages write them."""

from __future__ import annotations

import json
import re

_LONGEST = 60  # fits a line
_UNSHOWABLE = re.compile("[\x7f-\x9f\ud800-\udfff]")  # what JSON may hold as it is, and no screen should


def counted(number: int, one: str, several: str = "") -> str:
    """`1 day`, `60 days`, `1,200 entries`. `several` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def shown(value: object) -> str:
    """A value as its sender wrote it, in JSON (null, true, "text"), shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = _UNSHOWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    if len(text) <= _LONGEST:
        return text
    length = f" ({len(value):,} characters)" if isinstance(value, str) else ""
    return f"{text[:50]}...{length}"

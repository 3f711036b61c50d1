"""Readable ids: `vip-customers` of "VIP Customers"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from itertools import count

LONGEST = 60


def free_slug(name: str, otherwise: str, taken: Collection[str]) -> str:
    """The slug of a name, with the first number from 2 on that makes it free; `otherwise` where no letter is left."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_only)[:LONGEST].strip("-") or otherwise
    if slug not in taken:
        return slug
    return next(numbered for number in count(2) if (numbered := f"{slug}-{number}") not in taken)

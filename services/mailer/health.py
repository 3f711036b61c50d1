"""What each part of the mailer is missing just now; /readyz says it."""

from __future__ import annotations

import threading


class Health:
    """Parts that are unwell, each with its reason. Safe from any thread."""

    def __init__(self, **starting: str) -> None:
        self._ills: dict[str, str] = dict(starting)
        self._lock = threading.Lock()

    def bad(self, part: str, why: str) -> None:
        """The part cannot work now."""
        with self._lock:
            self._ills[part] = why

    def good(self, part: str) -> None:
        """The part works."""
        with self._lock:
            self._ills.pop(part, None)

    def why_not(self) -> str | None:
        """None when all works, else what does not."""
        with self._lock:
            return "; ".join(f"{part}: {why}" for part, why in sorted(self._ills.items())) or None

"""The limit that stops the consumer: a bad deploy must not empty the stream into the dead letters."""

from __future__ import annotations

from collections import deque

from shared.errors import RegularsError


class TooManyFailuresError(RegularsError):
    """More of the last records failed than may."""


class Failures:
    """Watches the share of refused records over the last `window` ones."""

    def __init__(self, share: float, window: int) -> None:
        self.share = share
        self.window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._taken = 0
        self._refused = 0

    def check(self, taken: int, refused: int) -> None:
        """Raise when the batch at hand makes it too many. Nothing is decided before `window` records were seen."""
        all_taken, all_refused = self._taken + taken, self._refused + refused
        if all_taken >= self.window and all_refused > self.share * all_taken:
            raise TooManyFailuresError(
                f"{all_refused} of the last {all_taken} records were refused, more than {self.share:.0%}. Nothing of "
                "this batch was counted and its offsets stay. The log names the reasons: mend the sender and "
                "restart, or restart with REGULARS_DEAD_LETTER_SHARE=1 to let them go to the dead letters"
            )

    def note(self, taken: int, refused: int) -> None:
        """Remember a batch that was counted."""
        self._batches.append((taken, refused))
        self._taken += taken
        self._refused += refused
        while self._batches and self._taken - self._batches[0][0] >= self.window:
            old = self._batches.popleft()
            self._taken -= old[0]
            self._refused -= old[1]

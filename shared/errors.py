"""The few kinds of error that Regulars knows. Each message tells its reader what to do."""

from __future__ import annotations

UNSTORABLE = "holds what cannot be stored, such as a NUL character or half of a surrogate pair: take it out"


class RegularsError(Exception):
    """Root of all errors raised on purpose."""


class InvalidError(RegularsError):
    """What was given can never work: it must be changed. `field` is the path of the offending part, such as
    `data.total` or `criteria.all[2].op`; empty when the whole is meant.
    """

    def __init__(self, message: str, field: str = "", code: str = "invalid") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.message = message
        self.field = field
        self.code = code


class TransientError(RegularsError):
    """May pass by itself: try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConflictError(RegularsError):
    """Contradicts what is stored already."""


class NotFoundError(RegularsError):
    """Names something that does not exist in this organization."""


class ForbiddenError(RegularsError):
    """The caller's key or role does not reach that far."""


class SetupError(RegularsError):
    """The machine or the settings stand in the way; said in one line at start, exit code 2."""

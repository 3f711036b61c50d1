"""The port to whoever carries the mail out: what is handed over, and the four ways in which that can end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

import msgspec

from services.mailer.stencil import Columns
from shared.domain.templating import Parts, fill


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What the mails of a campaign have in common, their texts with slots. Providers keep what they make of it, so one
    object stands for each: take it from `form_of`.
    """

    organization_id: str
    sender: str
    html: Parts
    text: Parts
    headers: tuple[tuple[str, Parts], ...]


@lru_cache(maxsize=256)
def form_of(
    organization_id: str, sender: str, html: Parts, text: Parts, headers: tuple[tuple[str, Parts], ...] = ()
) -> Form:
    """The same object for the same texts."""
    return Form(organization_id, sender, html, text, headers)


class Mail(msgspec.Struct, frozen=True, gc=False):
    """One finished mail: its form, and the values of the form's slots; `to`, `subject` and `message_id` among them."""

    form: Form
    values: dict[str, str]

    @property
    def message_id(self) -> str:
        """Ours."""
        return self.values["message_id"]

    @property
    def to(self) -> str:
        """The recipient's address."""
        return self.values["to"]

    @property
    def subject(self) -> str:
        """On one line."""
        return self.values["subject"]

    @property
    def html(self) -> str:
        """The HTML part."""
        return fill(self.form.html, self.values)

    @property
    def text(self) -> str:
        """The plain-text part."""
        return fill(self.form.text, self.values)

    @property
    def headers(self) -> dict[str, str]:
        """Those of ours."""
        return {name: fill(parts, self.values) for name, parts in self.form.headers}

    @property
    def tags(self) -> dict[str, str]:
        """What comes back with every report about it."""
        return {"organization_id": self.form.organization_id, "message_id": self.message_id}


@dataclass(frozen=True, slots=True)
class Mails:
    """Finished mails of one form, by column: their values, each name's as a list."""

    form: Form
    columns: Columns

    @classmethod
    def of(cls, first: Mail, *more: Mail) -> Self:
        """Mails that have the same form and names."""
        mails = (first, *more)
        return cls(first.form, {name: [mail.values[name] for mail in mails] for name in first.values})

    def __len__(self) -> int:
        return len(self.columns["message_id"])

    def __getitem__(self, position: int) -> Mail:
        return Mail(self.form, {name: column[position] for name, column in self.columns.items()})

    def __iter__(self) -> Iterator[Mail]:
        return (self[n] for n in range(len(self)))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the batch. `ids` by position; a mail it turned down for good has its reason in `refused`, one
    to be tried again, as if it had never been claimed, in `again`: with a reason, or None where its turn never came.
    """

    ids: dict[int, str]
    refused: dict[int, str] = field(default_factory=dict)
    again: dict[int, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """It may pass: call again, after `after` seconds where the provider said so. With `in_doubt` the batch may have
    been taken all the same, so only the same key and the same bytes settle it.
    """

    why: str
    in_doubt: bool
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """None of the batch will ever pass."""

    why: str


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing of this account or sender passes until somebody acts: a wrong key, an unverified domain."""

    why: str


Outcome = Accepted | Retry | Refused | Halted

Taken = Callable[[Sequence[int]], bool]
"""Notes, before anything more is handed over, that the mails at these positions were taken; whether to go on."""


def unnoted(_: Sequence[int]) -> bool:
    """For a single mail, and for who knows a batch by its key."""
    return True


class Provider(Protocol):
    """Sends up to 100 mails at once. Never raises but what `taken` raises."""

    def send_batch(self, mails: Mails, idempotency_key: str, taken: Taken = unnoted) -> Outcome:
        """The same key with the same mails sends them once, however often it is called; a provider that knows no keys
        says by `taken` which mails must not be given to it again.
        """

    def close(self) -> None:
        """End the connections. Call it when no thread is sending."""

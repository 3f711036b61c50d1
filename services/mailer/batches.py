"""Batches: what goes out in one call under one key, stored before the call, so that a second call sends the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Any, Final

import msgspec
from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.mailer.campaigns import RUNNING
from shared.database.arrays import plain_array
from shared.database.tables import campaign, mail_batch, mail_content
from shared.mail.content import Content, from_json

# Longer than a call may take: from then on the process that made it is taken for dead. By the database's clock, which
# all mailers share: one whose own clock jumps must not take another's batch for forgotten.
LEASE: Final = timedelta(seconds=60)


class Letters(msgspec.Struct, frozen=True):
    """Who gets what, by column: the n-th of each belongs to the n-th message."""

    message_ids: Sequence[str]
    customer_ids: Sequence[str]
    emails: Sequence[str]
    variables: Mapping[str, Sequence[str]]
    variants: Sequence[int | None]

    def __len__(self) -> int:
        return len(self.message_ids)

    def part(self, start: int, end: int) -> Letters:
        """Those from one position to before another."""
        return self._cut(lambda column: column[start:end])

    def only(self, positions: Sequence[int]) -> Letters:
        """Those at some positions."""
        return self._cut(lambda column: [column[n] for n in positions])

    def _cut(self, cut: Callable[[Sequence[Any]], Sequence[Any]]) -> Letters:
        variables = {name: cut(column) for name, column in self.variables.items()}
        return Letters(cut(self.message_ids), cut(self.customer_ids), cut(self.emails), variables, cut(self.variants))


NONE: Final = Letters([], [], [], {}, [])


@dataclass(frozen=True, slots=True)
class Batch:
    """Letters that go out in one call, under one key."""

    organization_id: str
    campaign_id: str
    batch_id: uuid.UUID
    content: Content
    letters: Letters
    attempts: int = 1
    done: frozenset[int] = frozenset()
    """Positions that need not be sent again: an earlier call got their answers."""
    as_planned: bool = False
    """Its messages came in a block and go to the addresses that they were planned with: that they went is all there is
    to write on them.
    """


_read_letters = msgspec.json.Decoder(Letters).decode


def lapsed(organization_id: str | BindParameter[str]) -> tuple[ColumnElement[bool], ...]:
    """Batches whose call is over or whose mailer is taken for dead."""
    return (
        mail_batch.c.organization_id == organization_id,
        mail_batch.c.state == "claimed",
        mail_batch.c.lease_until <= func.now(),
    )


def of_same_campaign() -> ColumnElement[bool]:
    """Joins a batch's campaign."""
    return and_(
        campaign.c.organization_id == mail_batch.c.organization_id,
        campaign.c.campaign_id == mail_batch.c.campaign_id,
    )


LAPSED: Final = (
    select(mail_batch, mail_content.c.content)
    .join(campaign, of_same_campaign())
    .join(
        mail_content,
        and_(
            mail_content.c.organization_id == mail_batch.c.organization_id,
            mail_content.c.content_id == mail_batch.c.content_id,
        ),
    )
    .where(*lapsed(bindparam("organization_id")), campaign.c.state.in_(RUNNING))
    .order_by(mail_batch.c.lease_until)
    .limit(1)
    .with_for_update(of=mail_batch, skip_locked=True)
)


# The letters come in one piece, each batch's between two places: the driver would write a list of bytes out as text.
STORE: Final = text("""
    INSERT INTO mail_batch
        (organization_id, campaign_id, content_id, state, owner, lease_until, claimed_at, batch_id, letters)
    SELECT :organization_id, :campaign_id, :content_id, 'claimed', :owner, now() + CAST(:lease AS interval), now(),
        batch_id, substring(CAST(:letters AS bytea) FROM after + 1 FOR until - after)
    FROM unnest(CAST(:batches AS uuid[]), CAST(:afters AS integer[]), CAST(:untils AS integer[]))
        AS batch (batch_id, after, until)
""")
STORE_CONTENT: Final = (
    upsert(mail_content)
    .values({name: bindparam(name) for name in ("organization_id", "content_id", "content")})
    .on_conflict_do_nothing()
)


def in_one(texts: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """Texts one behind the other, and between which places each of them is, as arrays (`afters`, `untils`)."""
    untils = [*accumulate(map(len, texts))]
    return b"".join(texts), {
        "afters": plain_array(map(str, [0, *untils[:-1]])),
        "untils": plain_array(map(str, untils)),
    }


def store_content(connection: Connection, organization_id: str, content: Content) -> str:
    """Its id, under which it is kept once."""
    content_id = content.content_id
    given = {"organization_id": organization_id, "content_id": content_id, "content": content.as_json()}
    connection.execute(STORE_CONTENT, given)
    return content_id


def store(connection: Connection, batches: Sequence[Batch], owner: str) -> None:
    """Write down batches of one campaign with one content, before they are sent."""
    first = batches[0]
    content_id = store_content(connection, first.organization_id, first.content)
    named = {"organization_id": first.organization_id, "content_id": content_id}
    letters, places = in_one([msgspec.json.encode(each.letters) for each in batches])
    ids = plain_array([str(each.batch_id) for each in batches])
    given = {"campaign_id": first.campaign_id, "owner": owner, "lease": LEASE, "batches": ids, "letters": letters}
    connection.execute(STORE, {**named, **given, **places})


def take_up(connection: Connection, organization_id: str, owner: str) -> Batch | None:
    """A batch of a running campaign whose call did not tell how it ended, to be sent again with the same bytes."""
    found = connection.execute(LAPSED, {"organization_id": organization_id}).first()
    if found is None:
        return None
    anew = {"attempts": found.attempts + 1, "owner": owner, "lease_until": func.now() + LEASE}
    change(connection, organization_id, [found.batch_id], **anew)
    return Batch(
        organization_id,
        found.campaign_id,
        found.batch_id,
        from_json(found.content),
        letters_of(found.letters),
        found.attempts + 1,
        frozenset(found.done),
    )


def take_up_own(connection: Connection, organization_id: str, owner: str) -> None:
    """After a restart: what this mailer's former process had under way need not wait for the end of its lease."""
    connection.execute(
        update(mail_batch)
        .where(
            mail_batch.c.organization_id == organization_id,
            mail_batch.c.state == "claimed",
            mail_batch.c.owner == owner,
            mail_batch.c.lease_until > func.now(),
        )
        .values(lease_until=func.now())
    )


def shortest_lease(connection: Connection, organization_id: str) -> timedelta | None:
    """How long until the first of the running campaigns' claimed batches lapses; None where none is claimed."""
    wanted = (
        select(func.min(mail_batch.c.lease_until) - func.now())
        .join(campaign, of_same_campaign())
        .where(
            mail_batch.c.organization_id == organization_id,
            mail_batch.c.state == "claimed",
            campaign.c.state.in_(RUNNING),
        )
    )
    lease: timedelta | None = connection.execute(wanted).scalar()
    return lease


def change(connection: Connection, organization_id: str, batches: Iterable[uuid.UUID], **values: Any) -> None:
    """Give batches these values."""
    connection.execute(
        update(mail_batch)
        .where(mail_batch.c.organization_id == organization_id, mail_batch.c.batch_id.in_(list(batches)))
        .values(**values)
    )


def letters_of(stored: bytes | None) -> Letters:
    """Letters as they were stored."""
    return _read_letters(stored) if stored else NONE

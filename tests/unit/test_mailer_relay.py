"""mail.sent by template is the event's own encoding."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.mailer.batches import Letters
from services.mailer.relay import events_of
from shared.domain.event_types import MailData
from shared.domain.events import MailSent, kafka_key

REFUSED = ""
IDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


@given(
    st.lists(st.tuples(IDS, st.none() | st.just(REFUSED) | IDS), min_size=1, max_size=5),
    IDS,
    st.datetimes(timezones=st.just(UTC)),
)
def test_each_event_is_its_own_encoding(sent: list[tuple[str, str | None]], campaign_id: str, at: datetime) -> None:
    ids, customers = [str(uuid.uuid4()) for _ in sent], [customer for customer, _ in sent]
    letters = Letters(ids, customers, ["a@x.example"] * len(ids), {"first_name": ["A"] * len(ids)}, [1] * len(ids))
    batch = SimpleNamespace(
        organization_id="demo",
        campaign_id=campaign_id,
        accepted_at=at,
        letters=msgspec.json.encode(letters),
        ids=msgspec.json.encode(
            {message_id: email_id for message_id, (_, email_id) in zip(ids, sent, strict=True) if email_id != REFUSED}
        ),
    )
    expected = [
        MailSent(
            specversion="1.0",
            id=f"{message_id}:sent",
            source="/demo/mailer",
            time=at,
            data=MailData(
                organization_id="demo",
                message_id=message_id,
                campaign_id=campaign_id,
                customer_id=customer_id,
                email_id=email_id,
            ),
        )
        for message_id, (customer_id, email_id) in zip(ids, sent, strict=True)
        if email_id != REFUSED
    ]
    found = list(events_of(cast("Any", batch)))
    assert found == [(kafka_key(event), msgspec.json.encode(event)) for event in expected]


def test_a_batch_whose_letters_are_gone_tells_nothing() -> None:
    assert list(events_of(cast("Any", SimpleNamespace(letters=None, ids=None)))) == []

"""Campaigns: written, changed and steered here; the mailer carries them out from the same table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    delete,
    exists,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from services.admin import ab_results, audit, campaign_counts, segments
from services.admin.campaign_life import EDITABLE, Step, after
from services.admin.campaign_models import STORED, Campaign, Content, OnSegmentEntered
from services.admin.organizations import lock
from services.admin.paging import Page, cut, read_cursor
from services.admin.patches import laid_over, refuse_unknown
from services.admin.slugs import free_slug
from services.admin.versions import check_match
from shared.database import campaign_coupons
from shared.database.audience import is_empty
from shared.database.campaigns import read_campaigns
from shared.database.channels import CAMPAIGNS, notify
from shared.database.tables import campaign, message
from shared.domain.gates import Reason
from shared.domain.templating import check as check_variables
from shared.errors import ConflictError, InvalidError, NotFoundError
from shared.keys import Key
from shared.mail.markup import check_html

FIELDS = tuple(Content.model_fields)
UNDER_WAY = ("scheduled", "sending", "active", "paused", "failed")


def page(connection: Connection, organization_id: str, limit: int, cursor: str | None) -> Page[Campaign]:
    """By id."""
    wanted = select(campaign).where(campaign.c.organization_id == organization_id)
    if cursor is not None:
        (last,) = read_cursor(cursor, str)
        wanted = wanted.where(campaign.c.campaign_id > last)
    rows = connection.execute(wanted.order_by(campaign.c.campaign_id).limit(limit + 1)).mappings().all()
    return cut(_shown(connection, organization_id, rows), limit, lambda item: (item.id,))


def under_way(connection: Connection, organization_id: str, most: int) -> list[Campaign]:
    """Those that send, are to, or were stopped, the last changed first."""
    return _latest(connection, organization_id, most, None, campaign.c.state.in_(UNDER_WAY)).items


def begun(connection: Connection, organization_id: str, limit: int, cursor: str | None) -> Page[Campaign]:
    """All but drafts, the last changed first."""
    return _latest(connection, organization_id, limit, cursor, campaign.c.state != "draft")


def _latest(
    connection: Connection, organization_id: str, limit: int, cursor: str | None, which: ColumnElement[bool]
) -> Page[Campaign]:
    place = tuple_(campaign.c.updated_at, campaign.c.campaign_id)
    wanted = select(campaign).where(campaign.c.organization_id == organization_id, which)
    if cursor is not None:
        at, last = read_cursor(cursor, datetime, str)
        wanted = wanted.where(place < tuple_(literal(at), literal(last)))
    wanted = wanted.order_by(campaign.c.updated_at.desc(), campaign.c.campaign_id.desc()).limit(limit + 1)
    rows = connection.execute(wanted).mappings().all()
    return cut(_shown(connection, organization_id, rows), limit, lambda item: (item.updated_at, item.id))


def read(connection: Connection, organization_id: str, campaign_id: str) -> Campaign:
    """Raises NotFoundError."""
    return _shown(connection, organization_id, [_row(connection, organization_id, campaign_id)])[0]


def insist(connection: Connection, organization_id: str, campaign_id: str) -> None:
    """Raises NotFoundError where there is no such campaign."""
    _row(connection, organization_id, campaign_id)


def create(connection: Connection, key: Key, wanted: Content, now: datetime) -> str:
    """The id of the new draft. Raises InvalidError."""
    check(connection, key.organization_id, wanted, now)
    lock(connection, key.organization_id)
    taken = select(campaign.c.campaign_id).where(campaign.c.organization_id == key.organization_id)
    campaign_id = free_slug(wanted.name, "campaign", set(connection.execute(taken).scalars()))
    values = {"organization_id": key.organization_id, "campaign_id": campaign_id} | wanted.model_dump(mode="json")
    connection.execute(insert(campaign).values(values))
    _tell(connection, key, "created", campaign_id)
    return campaign_id


def change(
    connection: Connection,
    key: Key,
    campaign_id: str,
    given: dict[str, Any],
    *,
    now: datetime,
    if_match: str | None = None,
) -> Campaign:
    """Change what is given. Raises NotFoundError, InvalidError, ConflictError, and 412 by `if_match`."""
    before = _row(connection, key.organization_id, campaign_id, locked=True)
    check_match(if_match, before["version"])
    if before["state"] not in EDITABLE:
        raise ConflictError(f"A campaign that is {before['state']} cannot be changed. Make a new one.")
    refuse_unknown(given, FIELDS)
    wanted = laid_over(Content, _content(before), given)
    check(connection, key.organization_id, wanted, max(now, before["send_at"] or now))
    if (wanted.trigger is None) != (before["trigger"] is None) and before["state"] != "draft":
        raise ConflictError("A one-off becomes automatic, or the other way round, only while it is a draft.")
    if before["planned_at"] is not None and wanted.model_dump(mode="json")["ab_test"] != before["ab_test"]:
        raise ConflictError(
            "The test is under way, so its subjects stay as they are. Cancel the campaign to begin anew."
        )
    if given:
        values = {name: value for name, value in wanted.model_dump(mode="json").items() if name in given}
        connection.execute(
            update(campaign)
            .where(*_is(key.organization_id, campaign_id))
            .values(**values, version=campaign.c.version + 1, updated_at=now)
        )
        _tell(connection, key, "changed", campaign_id, fields=sorted(given))
    return read(connection, key.organization_id, campaign_id)


def take(
    connection: Connection, key: Key, campaign_id: str, step: Step, *, now: datetime, at: datetime | None = None
) -> Campaign:
    """Take a step of its life; `at` is when to send. Raises NotFoundError, InvalidError and ConflictError."""
    before = _row(connection, key.organization_id, campaign_id, locked=True)
    automatic, planned = before["trigger"] is not None, before["planned_at"] is not None
    state = after(step, before["state"], automatic=automatic, planned=planned)
    if state != before["state"] or step is Step.SEND:
        values: dict[str, Any] = {"state": state, "error": None, "failures_in_row": 0, "updated_at": now}
        if step is Step.SEND:
            if at is not None and at < now:
                raise InvalidError(
                    f"must not lie in the past; it is {now.isoformat()}. Leave it empty to send now", "at"
                )
            values["send_at"] = at or now
            if at is None:
                _refuse_empty(connection, key.organization_id, campaign_id)
        if step in {Step.SEND, Step.ACTIVATE}:
            # What it refers to may have changed since it was saved.
            wanted = laid_over(Content, _content(before), {})
            check(connection, key.organization_id, wanted, values.get("send_at", now))
        if step is Step.ACTIVATE:
            values["activated_at"] = now
        connection.execute(update(campaign).where(*_is(key.organization_id, campaign_id)).values(values))
        _tell(connection, key, step, campaign_id)
    return read(connection, key.organization_id, campaign_id)


def skip_open(connection: Connection, organization_id: str, campaign_id: str, now: datetime) -> None:
    """What waits goes never. Called after the cancel has committed, so that a large audience does not delay that."""
    connection.execute(
        update(message)
        .where(
            message.c.organization_id == organization_id,
            message.c.campaign_id == campaign_id,
            message.c.state.in_(("planned", "waiting")),
        )
        .values(state="skipped", reason=Reason.CANCELLED.value, detail=None, updated_at=now)
    )


def remove(connection: Connection, key: Key, campaign_id: str) -> None:
    """Delete one that never planned a mail. Raises NotFoundError and ConflictError."""
    before = _row(connection, key.organization_id, campaign_id, locked=True)
    mails = exists().where(message.c.organization_id == key.organization_id, message.c.campaign_id == campaign_id)
    if before["state"] not in {"draft", "cancelled"} or connection.execute(select(mails)).scalar_one():
        raise ConflictError("Only a campaign without mails can be deleted: what was sent stays on record. Cancel it.")
    connection.execute(delete(campaign).where(*_is(key.organization_id, campaign_id)))
    _tell(connection, key, "deleted", campaign_id)


def _is(organization_id: str, campaign_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return campaign.c.organization_id == organization_id, campaign.c.campaign_id == campaign_id


def _row(connection: Connection, organization_id: str, campaign_id: str, *, locked: bool = False) -> RowMapping:
    wanted = select(campaign).where(*_is(organization_id, campaign_id))
    row = connection.execute(wanted.with_for_update() if locked else wanted).mappings().first()
    if row is None:
        raise NotFoundError(f"There is no campaign {campaign_id!r}.")
    return row


def _content(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in FIELDS}


def check(connection: Connection, organization_id: str, wanted: Content, at: datetime) -> None:
    """Refuse what refers to nothing: variables, segments and coupons that do not exist, or are over when it goes."""
    campaign_coupons.check(connection, organization_id, wanted.coupon_code, unique_codes=wanted.unique_codes, at=at)
    has_coupon = wanted.coupon_code is not None
    texts = {"subject": wanted.subject, "preview_text": wanted.preview_text, "body": wanted.body}
    if wanted.ab_test is not None:
        texts |= {f"ab_test.subjects[{index}]": text for index, text in enumerate(wanted.ab_test.subjects)}
    for field, text in texts.items():
        check_variables(text, has_coupon=has_coupon, field=field)
    if wanted.body_format == "html":
        check_html(wanted.body, "body")
    named = {
        f"audience.{name}[{index}]": segment_id
        for name in ("include_segments", "exclude_segments")
        for index, segment_id in enumerate(getattr(wanted.audience, name))
    }
    if isinstance(wanted.trigger, OnSegmentEntered):
        named["trigger.segment_id"] = wanted.trigger.segment_id
    for field, segment_id in named.items():
        try:
            segments.slot_of(connection, organization_id, segment_id)
        except NotFoundError as error:
            raise InvalidError(str(error), field) from None


def _refuse_empty(connection: Connection, organization_id: str, campaign_id: str) -> None:
    """Of one that goes later somebody may be in the audience by then: `/audience` tells."""
    (wanted,) = read_campaigns(connection, organization_id, campaign.c.campaign_id == campaign_id)
    if is_empty(connection, wanted):
        message = "nobody is in it. Include other segments, or ask less of them; /audience counts who would get it"
        raise InvalidError(message, "audience", "empty_audience")


def _tell(connection: Connection, key: Key, what: str, campaign_id: str, **detail: Any) -> None:
    audit.record(connection, key, f"campaign.{what}", f"campaign:{campaign_id}", **detail)
    notify(connection, CAMPAIGNS, key.organization_id)


def _shown(connection: Connection, organization_id: str, rows: Any) -> list[Campaign]:
    counts = campaign_counts.of(connection, organization_id, [row["campaign_id"] for row in rows])
    shown = (*FIELDS, "state", "error", "send_at", "activated_at", "version", "created_at", "updated_at")
    return [
        Campaign.model_validate(
            {
                "id": row["campaign_id"],
                "counts": counts.get(row["campaign_id"], campaign_counts.NONE),
                "ab_result": ab_results.of(connection, row),
                **{name: row[name] for name in shown},
            },
            context=STORED,
        )
        for row in rows
    ]

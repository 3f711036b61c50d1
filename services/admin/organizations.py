"""Organizations: making one with its first keys, reading and changing its settings."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.admin import audit, starting_segments
from services.admin.instants import Instant
from services.admin.starting_campaigns import templates
from services.admin.starting_segments import Thresholds
from services.admin.transactions import transaction
from services.admin.versions import check_tag
from shared.database.channels import SEGMENTS, notify
from shared.database.engine import engine
from shared.database.tables import campaign, coupon, organization, segment
from shared.domain.event_fields import PRINTABLE, PRINTABLE_LINES, Email, OrganizationId, TimeZone
from shared.domain.money import minor_units
from shared.errors import ConflictError, InvalidError, NotFoundError
from shared.keys import Key, create_key
from shared.wording import shown

# From the event contract: no control characters, as PostgreSQL and mail headers want it; an address has lines.
Line = Annotated[str, Field(max_length=256, pattern=PRINTABLE)]
Title = Annotated[Line, Field(min_length=1, description="a text of 1 to 256 printable characters")]
Lines = Annotated[str, Field(max_length=1_000, pattern=PRINTABLE_LINES)]


class Organization(BaseModel):
    """An organization and its settings."""

    organization_id: str
    name: str
    currency: str = Field(description="ISO 4217; fixed, because every amount is counted in it.")
    time_zone: str
    sender_name: str
    sender_email: Annotated[str | None, BeforeValidator(lambda stored: stored or None)]
    postal_address: str
    quiet_from: time | None = Field(description="No marketing mail from this local time of day")
    quiet_until: time | None = Field(description="until this one.")
    tracks_mail: bool = Field(description="Mails tell when they are opened and left by a link.")
    verify_addresses: bool = Field(description="A new address gets a mail to confirm it by itself.")
    gross_margin_percent: float | None = Field(description="For ROI; null: not told, so 30 is assumed.")
    sending_cost_per_thousand: int | None = Field(
        description="Of 1,000 mails in minor units, for ROI; null: not told, so none is counted."
    )
    created_at: Instant
    updated_at: Instant


class OrganizationChange(BaseModel):
    """What may change; what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    name: Title | None = None
    time_zone: TimeZone | None = None
    sender_name: Line | None = None
    sender_email: Email | None = None
    postal_address: Lines | None = None
    quiet_from: time | None = None
    quiet_until: time | None = None
    tracks_mail: bool | None = None
    verify_addresses: bool | None = None
    gross_margin_percent: Decimal | None = Field(None, ge=0, le=100, decimal_places=2)
    sending_cost_per_thousand: int | None = Field(None, ge=0, lt=10**12)

    @field_validator("name", "time_zone", "sender_name", "postal_address", "tracks_mail", "verify_addresses")
    @classmethod
    def is_not_cleared(cls, value: object) -> object:
        """Refuse null where it says nothing."""
        if value is None:
            raise ValueError("must not be null; leave it out to keep it")
        return value

    @model_validator(mode="after")
    def quiet_hours_make_sense(self) -> Self:
        """Refuse half a span of quiet hours."""
        ends = {"quiet_from", "quiet_until"} & self.model_fields_set
        if len(ends) == 1 or (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("give quiet_from and quiet_until together, or leave both empty")
        if any(end is not None and end.tzinfo for end in (self.quiet_from, self.quiet_until)):
            raise ValueError("quiet hours are in local time: give 21:00, without a zone")
        return self


class _New(BaseModel):
    organization_id: OrganizationId
    name: Title
    time_zone: TimeZone


def create(
    database_url: str,
    organization_id: str,
    name: str,
    currency: str,
    time_zone: str,
    *,
    ready_made: bool = True,
    thresholds: Thresholds | None = None,
    sender_name: str = "",
    sender_email: str = "",
    postal_address: str = "",
) -> dict[str, str]:
    """Store a new organization and give its first keys: {"terminal": secret, "owner": secret}.

    With `ready_made` it gets the usual segments, live, coupons, and campaigns as drafts.
    Raises InvalidError, and ConflictError when it exists.
    """
    minor_units(currency)
    _validate(organization_id, name, time_zone)
    store = engine(database_url, pool_size=1)
    try:
        with store.begin() as connection:
            stored = connection.execute(
                upsert(organization)
                .values(
                    organization_id=organization_id,
                    name=name,
                    currency=currency,
                    time_zone=time_zone,
                    sender_name=sender_name or name,
                    sender_email=sender_email,
                    postal_address=postal_address,
                )
                .on_conflict_do_nothing()
                .returning(organization.c.organization_id)
            )
            if stored.first() is None:
                raise ConflictError(f"The organization {organization_id!r} exists already. Choose another id.")
            if ready_made:
                own = {"organization_id": organization_id}
                chosen = thresholds or Thresholds.of(currency)
                connection.execute(insert(segment), [own | row for row in starting_segments.segments(chosen)])
                begun = templates(chosen)
                connection.execute(insert(coupon), [own | row for each in begun if (row := each.coupon_row())])
                for each in begun:  # one by one: not all have the same columns
                    connection.execute(insert(campaign).values(own | each.campaign_row()))
            audit.note(
                connection,
                organization_id,
                audit.COMMAND_LINE,
                "organization.created",
                f"organization:{organization_id}",
            )
            notify(connection, SEGMENTS, organization_id)
            return {role: create_key(connection, organization_id, role, "first")[1] for role in ("terminal", "owner")}
    finally:
        store.dispose()


def exists(database_url: str, organization_id: str) -> bool:
    """Whether there is such an organization."""
    with transaction(database_url) as connection:
        wanted = select(organization.c.name).where(organization.c.organization_id == organization_id)
        return connection.execute(wanted).first() is not None


def read(connection: Connection, organization_id: str) -> Organization:
    """Raises NotFoundError."""
    wanted = select(organization).where(organization.c.organization_id == organization_id)
    row = connection.execute(wanted).mappings().first()
    if row is None:
        raise NotFoundError(f"There is no organization {organization_id!r}.")
    margin = row["gross_margin"]
    return Organization.model_validate(
        dict(row)
        | {
            "verify_addresses": row["verifies_since"] is not None,
            "gross_margin_percent": None if margin is None else margin / 100,
            "sending_cost_per_thousand": row["sending_cost"],
        }
    )


def lock(connection: Connection, organization_id: str) -> None:
    """Let changes that must not meet, such as two new segments taking a slot, go one after the other."""
    own = organization.c.organization_id == organization_id
    connection.execute(select(organization.c.organization_id).where(own).with_for_update())


def etag(shown_organization: Organization) -> str:
    """Changes with its settings."""
    return f'"{sha256(shown_organization.model_dump_json().encode()).hexdigest()[:32]}"'


def change(
    connection: Connection, key: Key, wanted: OrganizationChange, now: datetime, if_match: str | None = None
) -> Organization:
    """Change what is given; 412 by `if_match`. A new time zone moves calendar rules, so the dynamic segments are filled
    again.
    """
    given = wanted.model_dump(exclude_unset=True)
    if "sender_email" in given:
        given["sender_email"] = given["sender_email"] or ""
    lock(connection, key.organization_id)
    before = read(connection, key.organization_id)
    check_tag(if_match, etag(before))
    if given:
        stored = {name: value for name, value in given.items() if name in organization.c}
        if "sending_cost_per_thousand" in given:
            stored["sending_cost"] = given["sending_cost_per_thousand"]
        if "gross_margin_percent" in given:
            percent = given["gross_margin_percent"]
            stored["gross_margin"] = None if percent is None else int(percent * 100)
        if given.get("verify_addresses", before.verify_addresses) != before.verify_addresses:
            # Addresses that are there already get none: nobody waits for a mail about something long ago.
            stored["verifies_since"] = now if given["verify_addresses"] else None
        connection.execute(
            update(organization)
            .where(organization.c.organization_id == key.organization_id)
            .values(**stored, updated_at=now)
        )
        audit.record(
            connection, key, "organization.changed", f"organization:{key.organization_id}", fields=sorted(given)
        )
    if given.get("time_zone", before.time_zone) != before.time_zone:
        connection.execute(
            update(segment)
            .where(
                segment.c.organization_id == key.organization_id,
                segment.c.kind == "dynamic",
                segment.c.state != "deleting",
            )
            .values(state="filling", progress=0, version=segment.c.version + 1, updated_at=func.now())
        )
        notify(connection, SEGMENTS, key.organization_id)
    return read(connection, key.organization_id)


def _validate(organization_id: str, name: str, time_zone: str) -> None:
    """Raises InvalidError with the words of the event contract."""
    try:
        _New(organization_id=organization_id, name=name, time_zone=time_zone)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        described = _New.model_fields[field].description
        raise InvalidError(f"must be {described}; got {shown(first['input'])}", field) from None

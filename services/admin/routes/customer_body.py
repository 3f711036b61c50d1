"""What a customer's body may hold, for the OpenAPI document. The contract of events is what judges it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from shared.domain.event_data import Part
from shared.domain.event_fields import (
    CalendarDay,
    ContactTime,
    CustomerId,
    Email,
    EmailFrequency,
    Flag,
    FreeText,
    Locale,
    Name,
    Phone,
    RegisteredAt,
    Tags,
    TimeZone,
)


class CustomerChange(Part):
    """Fields to change; null clears, what is absent stays."""

    model_config = ConfigDict(title="CustomerChange")

    name: Name | None = None
    email: Email | None = None
    email_verified: Flag | None = None
    phone: Phone | None = None
    birthday: CalendarDay | None = None
    anniversary: CalendarDay | None = None
    tags: Tags | None = None
    preferred_contact_time: ContactTime | None = None
    email_frequency: EmailFrequency | None = None
    time_zone: TimeZone | None = None
    locale: Locale | None = None
    registered_at: RegisteredAt | None = None
    marketing_consent: Flag | None = None
    consent_where: FreeText | None = Field(None, description="Where they gave or withdrew it.")
    consent_wording: FreeText | None = Field(None, description="What they agreed to, word for word.")


class NewCustomer(CustomerChange):
    """A new customer."""

    model_config = ConfigDict(title="NewCustomer")

    customer_id: CustomerId | None = Field(None, description="Made if it is not given.")


def _body(model: type[Part]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


CHANGE = _body(CustomerChange)
NEW = _body(NewCustomer)

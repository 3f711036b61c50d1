"""The form of a customer's profile: its fields as they are typed, and what of them an edit changes."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Final

from services.admin.console import forms
from services.admin.console.forms import Errors
from services.admin.console.visit import Form
from services.admin.customers import Customer
from shared.errors import RegularsError

TEXTS: Final = ("name", "email", "phone", "preferred_contact_time", "email_frequency", "time_zone", "locale")
DAYS: Final = ("birthday", "anniversary")
DAY_PARTS: Final = ("day", "month", "year")
FIELDS: Final = (*TEXTS, "tags", *(f"{day}_{part}" for day in DAYS for part in DAY_PARTS))
MONTHS: Final = tuple(date(2000, month, 1).strftime("%B") for month in range(1, 13))
LEAP: Final = 2000  # any year that has a 29 February


def fields_of(customer: Customer) -> dict[str, Any]:
    """What stands in the fields of somebody known."""
    shown: dict[str, Any] = {name: getattr(customer, name) or "" for name in TEXTS}
    for name in DAYS:
        found = re.fullmatch(r"(\d{4}|-)-(\d\d)-(\d\d)", getattr(customer, name) or "")
        year, month, day = found.groups() if found else ("", "", "")
        shown |= {
            f"{name}_day": day.lstrip("0"),
            f"{name}_month": month.lstrip("0"),
            f"{name}_year": year.strip("-"),
        }
    return shown | {"tags": "\n".join(customer.tags), "email_verified": customer.email_verified}


def typed_fields(form: Form) -> dict[str, Any]:
    """The same of a form that was sent."""
    return forms.texts(form, FIELDS) | {"email_verified": "email_verified" in form}


def profile(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of the API that they stand for; null for nothing. The contract of events judges them."""
    said: dict[str, Any] = {name: values[name] or None for name in TEXTS}
    for name in DAYS:
        day, month, year = (values[f"{name}_{part}"] for part in DAY_PARTS)
        has_any = day or month or year
        said[name] = f"{year.zfill(4) if year else '-'}-{month.zfill(2)}-{day.zfill(2)}" if has_any else None
    tags = [tag.strip() for tag in values["tags"].splitlines() if tag.strip()]
    return said | {"tags": tags, "email_verified": values["email_verified"]}


def changes(customer: Customer, values: dict[str, Any]) -> dict[str, Any]:
    """What differs from what is known: the rest stays out of the event, so that it overrules nothing."""
    return {name: value for name, value in profile(values).items() if value != getattr(customer, name)}


def news(values: dict[str, Any]) -> dict[str, Any]:
    """What is told of somebody new."""
    return {name: value for name, value in profile(values).items() if value}


def errors_of(error: RegularsError) -> Errors:
    """By the form's fields: that of a list's entry belongs to the list."""
    return Errors({re.split(r"[.\[]", field)[0]: message for field, message in forms.errors_of(error).items()})


def in_words(day: str | None) -> str:
    """28 February 1990; without the year where that is not known."""
    if day is None:
        return ""
    has_year = not day.startswith("--")
    known = date.fromisoformat(day if has_year else f"{LEAP}-{day[2:]}")
    return f"{known.day} {known:%B} {known.year}" if has_year else f"{known.day} {known:%B}"

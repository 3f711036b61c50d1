"""A coupon's fields, named as the API names them: filled from a coupon, and read back into its rules."""

from __future__ import annotations

from typing import Any, Final

from services.admin.console import forms
from services.admin.console.visit import Form
from services.admin.coupon_models import Rules
from services.admin.organizations import Organization
from shared.domain.coupons.rules import WEEKDAYS

LINES: Final = ("include_products", "exclude_products", "include_categories", "exclude_categories", "stores")
MONEY: Final = ("minimum_purchase", "maximum_discount")
LIMITS: Final = ("limit_per_customer", "limit_total")
INSTANTS: Final = ("valid_from", "valid_until")
HOURS: Final = ("valid_hours.from", "valid_hours.until")
SWITCHES: Final = ("first_purchase_only", "grants_only", "unique_only")
PLAIN: Final = ("name", "description", "type", "segment_id")
TEXTS: Final = (*PLAIN, "value", *MONEY, *LIMITS, *INSTANTS, *HOURS, *LINES)
NAMES: Final = frozenset({*TEXTS, *SWITCHES, "code", "valid_hours", "valid_weekdays"})

Fields = dict[str, Any]
"""What stands in the fields: texts, a list of weekdays, booleans for SWITCHES."""


def fields_of(rules: Rules, organization: Organization) -> Fields:
    """Of a coupon's rules."""
    currency, zone = organization.currency, organization.time_zone
    shown: Fields = {name: getattr(rules, name) or "" for name in PLAIN}
    shown["value"] = forms.typed(int(rules.value), currency) if rules.type == "fixed" else f"{rules.value:f}"
    shown |= {name: forms.typed(getattr(rules, name), currency) for name in MONEY}
    shown |= {name: str(getattr(rules, name) or "") for name in LIMITS}
    shown |= {name: forms.typed_instant(getattr(rules, name), zone) for name in INSTANTS}
    hours = rules.valid_hours
    shown |= dict(zip(HOURS, (hours.begin, hours.end) if hours else ("", ""), strict=True))
    shown |= {name: "\n".join(getattr(rules, name)) for name in LINES}
    return shown | {name: getattr(rules, name) for name in SWITCHES} | {"valid_weekdays": rules.valid_weekdays or []}


def typed_fields(form: Form) -> Fields:
    """As they were typed."""
    shown: Fields = forms.texts(form, TEXTS) | {name: name in form for name in SWITCHES}
    return shown | {"valid_weekdays": form.getlist("valid_weekdays")}


def rules_of(typed: Fields, organization: Organization) -> dict[str, Any]:
    """What the API's Rules take, but for the state. Raises RefusedError."""
    currency, zone = organization.currency, organization.time_zone
    given: dict[str, Any] = {name: typed[name] for name in ("name", "description", "type", *SWITCHES)}
    given["segment_id"] = typed["segment_id"] or None
    given["value"] = forms.amount(typed["value"], currency, "value") if typed["type"] == "fixed" else typed["value"]
    given |= {name: forms.amount(typed[name], currency, name) for name in MONEY}
    if typed["type"] == "fixed":
        given["maximum_discount"] = None  # its field is hidden
    given |= {name: forms.whole(typed[name]) for name in LIMITS}
    given |= {name: forms.instant(typed[name], zone, name) for name in INSTANTS}
    begin, end = (typed[name] for name in HOURS)
    given["valid_hours"] = {"from": begin, "until": end} if begin or end else None
    days = typed["valid_weekdays"]
    given["valid_weekdays"] = days if 0 < len(set(days)) < len(WEEKDAYS) else None
    return given | {name: [line.strip() for line in typed[name].splitlines() if line.strip()] for name in LINES}


def changed(typed: Fields, stored: Fields, rules: dict[str, Any]) -> dict[str, Any]:
    """The rules whose fields were touched: what a field cannot show, such as seconds, stays where it was not."""
    touched = {name.partition(".")[0] for name, value in typed.items() if value != stored[name]}
    if "type" in touched:
        touched |= {"value", "maximum_discount"}
    return {name: value for name, value in rules.items() if name in touched}

"""The editor's fields, named as the API names them: filled from a campaign, and read back into one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.admin.console import forms
from services.admin.console.forms import Errors
from services.admin.console.visit import Form
from shared.domain.coupons.codes import normalise
from shared.errors import RegularsError

SUBJECTS: Final = tuple(f"ab_test.subjects[{place}]" for place in range(4))
TEXTS: Final = (
    "name",
    "type",
    "subject",
    "preview_text",
    "body_format",
    "coupon_code",
    "grant_days",
    "audience.minimum_spent",
    "audience.minimum_visits",
    "audience.tags",
    "trigger.on",
    "trigger.days_before",
    "trigger.segment_id",
    "trigger.cool_down_days",
    "trigger.delay_hours",
    "holdout_percent",
    "expires_after_hours",
    "priority",
    *SUBJECTS,
    "ab_test.test_percent",
    "ab_test.winner_by",
    "ab_test.winner_after_hours",
)
LISTS: Final = ("audience.include_segments", "audience.exclude_segments", "trigger.causes")
SWITCHES: Final = ("unique_codes", "respect_contact_time", "ab_test")
NAMES: Final = frozenset({*TEXTS, *LISTS, "unique_codes", "body", "as_customer"})
SHOWN_AT: Final = {"ab_test.subjects": SUBJECTS[1], "trigger": "trigger.on"}  # of what has no field by itself
# What stands in the fields of a part that a campaign does not have.
UNUSED: Final = {
    "trigger": {"on": "", "days_before": 0, "segment_id": "", "cool_down_days": 30, "delay_hours": 0}
    | {"causes": ["event", "time"]},
    "ab_test": {"subjects": [], "test_percent": 20, "winner_by": "opens", "winner_after_hours": 4},
}
BLANK: Final[dict[str, Any]] = {"name": "", "subject": "", "body": ""}

Fields = dict[str, Any]
"""What stands in the fields: texts, lists for LISTS, booleans for SWITCHES."""


def fields_of(content: Mapping[str, Any], currency: str) -> Fields:
    """Of a campaign as the API writes it, defaults included."""
    shown: Fields = {name: content[name] for name in ("unique_codes", "respect_contact_time", "body")}
    audience = dict(content["audience"])
    parts = {"audience": audience, **{name: rest | (content[name] or {}) for name, rest in UNUSED.items()}}
    for part, values in parts.items():
        shown |= {f"{part}.{name}": value for name, value in values.items()}
    subjects = shown.pop("ab_test.subjects")
    shown |= {name: subjects[place] if place < len(subjects) else "" for place, name in enumerate(SUBJECTS)}
    shown |= {
        "ab_test": content["ab_test"] is not None,
        "audience.minimum_spent": forms.typed(audience["minimum_spent"], currency),
        "audience.tags": ", ".join(audience["tags"]),
    }
    shown |= {name: content[name] for name in TEXTS if "." not in name}
    return {name: "" if value is None else value for name, value in shown.items()}


def typed_fields(form: Form) -> Fields:
    """As they were typed."""
    shown: Fields = forms.texts(form, TEXTS)
    shown |= {name: form.getlist(name) for name in LISTS} | {name: name in form for name in SWITCHES}
    shown["coupon_code"] = normalise(shown["coupon_code"])
    return shown | {"body": form.get("body", "").replace("\r\n", "\n")}


def errors_of(error: RegularsError) -> Errors:
    """What is wrong, each at its field."""
    told = {SHOWN_AT.get(path, path): message for path, message in forms.errors_of(error).items()}
    return forms.at_fields(Errors(told), NAMES)


def content_of(typed: Fields, currency: str) -> dict[str, Any]:
    """What the API's Content takes; what is hidden because it does not apply is left out. Raises RefusedError."""
    given: dict[str, Any] = {name: typed[name] for name in ("name", "type", "subject", "preview_text", "body")}
    given |= {"body_format": typed["body_format"], "respect_contact_time": typed["respect_contact_time"]}
    given |= {name: typed[name] for name in ("holdout_percent", "expires_after_hours", "priority") if typed[name]}
    if typed["coupon_code"]:
        given |= {"coupon_code": typed["coupon_code"], "unique_codes": typed["unique_codes"]}
        given |= {"grant_days": typed["grant_days"] or None}
    audience = _part(typed, "audience", ("include_segments", "exclude_segments", "minimum_visits"))
    spent = forms.amount(typed["audience.minimum_spent"], currency, "audience.minimum_spent")
    given["audience"] = audience | {"minimum_spent": spent, "tags": forms.listed(typed["audience.tags"])}
    given["trigger"] = _trigger(typed)
    given["ab_test"] = _ab_test(typed) if typed["ab_test"] else None
    return given


def _trigger(typed: Fields) -> dict[str, Any] | None:
    match typed["trigger.on"]:
        case "":
            return None
        case "segment_entered":
            names = ("on", "segment_id", "cool_down_days", "delay_hours")
            return _part(typed, "trigger", names) | {"causes": typed["trigger.causes"]}
        case _:
            return _part(typed, "trigger", ("on", "days_before"))


def _ab_test(typed: Fields) -> dict[str, Any]:
    subjects = [typed[name] for name in SUBJECTS]
    while subjects and not subjects[-1]:
        subjects.pop()
    rest = ("test_percent", "winner_by", "winner_after_hours")
    return _part(typed, "ab_test", rest) | {"subjects": subjects}


def _part(typed: Fields, part: str, names: tuple[str, ...]) -> dict[str, Any]:
    """What is empty is left out: the API's default holds."""
    return {name: typed[f"{part}.{name}"] for name in names if typed[f"{part}.{name}"] != ""}

"""From a form's fields to what the admin API's services take, and their refusals back to the fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from services.admin.console.visit import Form
from shared import problems
from shared.domain.money import minor_units
from shared.errors import InvalidError, RegularsError
from shared.refusals import said

M = TypeVar("M", bound=BaseModel)


class Errors(dict[str, str]):
    """What is wrong, by field; "" where the whole is meant. A field that is not in it is right."""

    def __missing__(self, field: str) -> str:
        return ""


class RefusedError(RegularsError):
    """Some fields cannot be taken as they are; `errors` says why."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = Errors(errors)


def read(kind: type[M], values: Mapping[str, Any]) -> M:
    """The request of the API that a form stands for. Raises RefusedError."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RefusedError(_by_field(error.errors(), "body")) from None


def errors_of(error: RegularsError | RequestValidationError) -> Errors:
    """Of any refusal of a service. Fields have the names that the API gives them, such as `audience.tags[2]`."""
    if isinstance(error, RequestValidationError):
        return Errors(_by_field(error.errors()))
    if isinstance(error, RefusedError):
        return error.errors
    if isinstance(error, InvalidError):
        return Errors({error.field: error.message})
    told = {each["field"]: each["message"] for each in problems.of(error).errors}
    return Errors(told or {"": str(error)})


def at_fields(errors: Errors, names: Collection[str]) -> Errors:
    """The same at the fields of a form: of an entry of a list at the list's, of what has no field at the whole."""
    placed: dict[str, str] = {}
    for path, message in errors.items():
        step = path
        while step and step not in names:
            step = step[: max(step.rfind("["), step.rfind("."), 0)]
        told = message if step or not path else f"{path.replace('_', ' ')}: {message}"
        placed[step] = f"{placed[step]}; {told}" if step in placed else told
    return Errors(placed)


def texts(form: Form, names: Iterable[str]) -> dict[str, str]:
    """These fields, with the line ends that we keep, and without the spaces around."""
    return {name: form.get(name, "").replace("\r\n", "\n").strip() for name in names}


def listed(text: str) -> list[str]:
    """The entries of a field that takes several: one a line, or with commas between."""
    return [entry for line in text.splitlines() for part in line.split(",") if (entry := part.strip())]


def amount(text: str, currency: str, field: str) -> int | None:
    """Minor units of what was typed, such as 12.50; None for nothing. Raises RefusedError."""
    if not text.strip():
        return None
    decimals = minor_units(currency)
    try:
        units = Decimal(text.replace(",", "").strip()).scaleb(decimals)
    except InvalidOperation:
        raise RefusedError({field: f"must be an amount such as {_example(decimals)}"}) from None
    if not units.is_finite() or units != units.to_integral_value() or abs(units) >= 10**18:
        raise RefusedError({field: f"must be an amount such as {_example(decimals)}, in {currency}"})
    return int(units)


def typed(units: int | None, currency: str) -> str:
    """The same back: what stands in the field."""
    return "" if units is None else f"{Decimal(units).scaleb(-minor_units(currency))}"


def instant(text: str, time_zone: str, field: str) -> datetime | None:
    """What was typed into a datetime-local field, on the organization's clock; None for nothing. Raises RefusedError.

    Of an hour that the clock shows twice the first is meant.
    """
    if not text.strip():
        return None
    zone = ZoneInfo(time_zone)
    try:
        shown = datetime.fromisoformat(text.strip()).replace(tzinfo=None)
        at = shown.replace(tzinfo=zone).astimezone(UTC)
        back = at.astimezone(zone).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise RefusedError({field: "must be a day and a time, such as 2026-11-27T18:30"}) from None
    if back != shown:
        raise RefusedError({field: f"does not exist: the clocks of {time_zone} are put forward then"})
    return at


def typed_instant(at: datetime | None, time_zone: str) -> str:
    """The same back."""
    return "" if at is None else at.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m-%dT%H:%M")


def whole(text: str) -> int | str | None:
    """A number for what takes no text; None for nothing, and what is no number as it is, to be refused."""
    plain = text.replace(",", "").strip()
    try:
        return int(plain) if plain else None
    except ValueError:
        return text


def _example(decimals: int) -> str:
    return f"12.{'5'.ljust(decimals, '0')}" if decimals else "12"


def _by_field(errors: Sequence[Any], *place: str) -> dict[str, str]:
    return {problems.path_of((*place, *each["loc"])): said(each) for each in errors}

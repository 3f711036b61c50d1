"""From a form's fields to what the admin API's services take, and their refusals back to the fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

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
        raise RefusedError({_path(each["loc"]): said(each) for each in error.errors()}) from None


def errors_of(error: RegularsError) -> Errors:
    """Of any refusal of a service."""
    if isinstance(error, RefusedError):
        return error.errors
    if isinstance(error, InvalidError):
        return Errors({error.field: error.message})
    told = {each["field"]: each["message"] for each in problems.of(error).errors}
    return Errors(told or {"": str(error)})


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


def _example(decimals: int) -> str:
    return f"12.{'5'.ljust(decimals, '0')}" if decimals else "12"


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location)

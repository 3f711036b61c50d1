"""PATCH: what is given is laid over what is stored, and the whole is judged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from shared.errors import InvalidError

M = TypeVar("M", bound=BaseModel)


def refuse_unknown(given: Iterable[str], changeable: Collection[str]) -> None:
    """Raises InvalidError for the first field that cannot be changed."""
    unknown = sorted(set(given) - set(changeable))
    if unknown:
        raise InvalidError(f"cannot be changed; what can: {', '.join(changeable)}", unknown[0])


def laid_over(kind: type[M], stored: Mapping[str, Any], given: Mapping[str, Any]) -> M:
    """The whole with the change. Raises RequestValidationError, as FastAPI does of a whole body."""
    try:
        return kind.model_validate({**stored, **given})
    except ValidationError as error:
        raise RequestValidationError([each | {"loc": ("body", *each["loc"])} for each in error.errors()]) from None

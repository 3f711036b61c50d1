"""Nobody reads pydantic's own words: all that a body, a query or a setting may be refused for is said in ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from services.admin.app import create_app as admin
from services.admin.coupon_models import Time
from services.admin.segment_models import Color
from services.ingest.app import create_app as ingest
from shared.domain.event_fields import Email, TimeZone
from shared.refusals import said
from shared.settings import AdminSettings, IngestSettings

PYDANTIC = re.compile(
    r"\b(should|valid|Input|Unable|Unexpected|permitted|Field required)\b|\b(None|True|False)\b|must look like|'"
)
JUNK: list[Any] = [None, "", "x", "x" * 300_000, "1.5", "a\x00b", -(10**30), 1.5, float("nan"), True, [], [None] * 2_000, {}, {"on": "x"}]  # fmt: skip


class Size(Enum):
    SMALL = "small"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (int, "many", "must be a whole number"),
        (float, "many", "must be a number"),
        (bool, "perhaps", "must be true or false"),
        (str, 1, "must be a text"),
        (list[int], 1, "must be a list"),
        (Cat, 1, "must be an object"),
        (Cat, {}, "is missing"),
        (Literal["a", "b"], "c", 'must be "a" or "b"'),
        (Size, "large", 'must be "small"'),
        (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
        (Annotated[int, Field(le=100)], 101, "must be at most 100"),
        (Annotated[list[int], Field(min_length=2)], [1], "must hold at least 2 entries"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "must hold at most 1 entry"),
        (Annotated[str, Field(min_length=1)], "", "must hold at least 1 character"),
        (Annotated[str, Field(max_length=2_000)], "x" * 2_001, "must be at most 2,000 characters long"),
        (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": "cow"}, 'must have "cat", "dog" as its "kind"'),
        (Email, "ada", 'must be one address, such as "asha@example.com"'),
        (TimeZone, "Mars", 'must be an IANA time zone, such as "Asia/Kolkata"'),
        (Color, "#4f7cac\n", "must be # and six hexadecimal digits, such as #4f7cac"),
        (Time, "24:01", 'must be a time of day from "00:00" to "24:00"'),
        (Annotated[Cat | Dog, Field(discriminator="kind")], {}, 'must say which kind it is in "kind"'),
    ],
)
def test_a_refusal_says_what_must_be(kind: Any, given: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(given)
    assert [said(each) for each in caught.value.errors()] == [expected]


@pytest.mark.parametrize("app", [admin(AdminSettings()), ingest(IngestSettings())], ids=["admin", "ingest"])
def test_no_route_speaks_the_language_of_types(app: FastAPI) -> None:
    spoken = set()
    for asked in fields(app):
        kind = asked.field_info.annotation
        if kind is bytes:  # a body as it comes
            continue
        inside = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        for junk in JUNK:
            for given in (junk, *({field.alias or name: junk} for name, field in inside.items())):
                errors: Any = asked.validate(given, loc=("body",))[1]
                spoken |= {said(each) for each in errors or ()}
    assert len(spoken) >= 10
    assert [message for message in spoken if PYDANTIC.search(message)] == []


def fields(app: FastAPI) -> Iterator[ModelField]:
    """All bodies and parameters."""
    for found in iter_route_contexts(app.routes):
        if isinstance(found.route, APIRoute):
            yield from needed(found.route.dependant)


def needed(by: Dependant) -> Iterator[ModelField]:
    yield from (*by.body_params, *by.query_params, *by.path_params, *by.header_params)
    for inner in by.dependencies:
        yield from needed(inner)

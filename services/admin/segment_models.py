"""Segments as the API speaks of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.admin.customers import Customer
from services.admin.instants import Instant
from shared.domain.event_fields import PRINTABLE, PRINTABLE_LINES
from shared.refusals import COLOR

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=PRINTABLE)]
Description = Annotated[str, Field(max_length=2_000, pattern=PRINTABLE_LINES)]
Color = Annotated[str, Field(pattern=COLOR, description="Such as #4f7cac.")]
Tree = Annotated[dict[str, Any], Field(description='A tree of all, any, not over conditions; `{"field": …, "op": …}`.')]


class NewSegment(BaseModel):
    """A segment to be made: dynamic with criteria, or static without."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description = ""
    color: Color = "#4f7cac"
    kind: Literal["dynamic", "static"] = "dynamic"
    criteria: Tree | None = None
    members_of: str | None = Field(None, description="Static only: starts as a copy of who is in this segment now.")
    members_by: Tree | None = Field(None, description="Static only: starts with who meets these criteria now.")


class SegmentChange(BaseModel):
    """What may change; what is absent stays. New criteria fill the segment again."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Description | None = None
    color: Color | None = None
    criteria: Tree | None = None


class Segment(BaseModel):
    """A segment."""

    id: str
    name: str
    description: str
    color: str
    kind: Literal["dynamic", "static"]
    criteria: dict[str, Any] | None
    summary: str | None = Field(description="The criteria in English.")
    state: Literal["filling", "live"]
    progress: float = Field(description="Of the filling, 0 to 1.")
    member_count: int
    version: int = Field(exclude=True)
    created_at: Instant
    updated_at: Instant


class PreviewOf(BaseModel):
    """Criteria to try."""

    model_config = ConfigDict(extra="forbid")

    criteria: Tree


class Preview(BaseModel):
    """Who is meant now."""

    count: int = Field(description="Exact.")
    summary: str = Field(description="The criteria in English.")
    sample: list[Customer]

"""A campaign's content: compiled once, filled for each customer, stored so that a second call has the same bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from shared.domain.templating import (
    LINK_VARIABLES,
    Parts,
    Slot,
    compile_html,
    compile_masked_text,
    compile_text,
    fill,
    fill_line,
    mask,
)
from shared.mail.markup import cleaned, inlined
from shared.mail.plain_text import plain_text
from shared.mail.tracking import tracked

_ALONE_LINK = re.compile(r"<p><strong><a ([^<>]*)>((?:(?!</?a\b).)*)</a></strong></p>")


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """What of a campaign and its organization goes into its mails."""

    sender: str
    organization_name: str
    postal_address: str
    subject: str
    preview_text: str
    body: str
    body_format: str
    tracked: bool = False
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filled:
    """One mail's texts."""

    subject: str
    html: str
    text: str


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The compiled form."""

    sender: str
    subject: Parts
    html: Parts
    text: Parts
    links: list[str] = []  # where its links lead, by number
    alternatives: tuple[Parts, ...] = ()

    @property
    def variables(self) -> frozenset[str]:
        """The names it needs values for, links aside."""
        texts = (self.subject, *self.alternatives, self.html, self.text)
        slots = (part for parts in texts for part in parts if isinstance(part, Slot))
        return frozenset(slot.name for slot in slots) - LINK_VARIABLES

    def filled(self, values: dict[str, str], variant: int | None = None) -> Filled:
        """For one customer; `values` has the links too, `variant` tells which subject of an A/B test."""
        subject = self.subject if variant is None else self.alternatives[variant]
        return Filled(fill_line(subject, values), fill(self.html, values), fill(self.text, values))

    def as_json(self) -> Any:
        """For the database."""
        return msgspec.to_builtins(self)

    @property
    def content_id(self) -> str:
        """The same for the same content."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


@lru_cache(maxsize=64)
def compiled(wording: Wording) -> Content:
    """The content of a campaign's mails."""
    preview, preview_slots = mask(wording.preview_text)
    body, body_slots = mask(wording.body)
    unsubscribe, unsubscribe_slot = mask("{unsubscribe_url}")
    preferences, preferences_slot = mask("{preferences_url}")
    slots = preview_slots | body_slots | unsubscribe_slot | preferences_slot
    body_html = _from_markdown(body, body_slots) if wording.body_format == "markdown" else cleaned(body)
    address = [line.strip() for line in wording.postal_address.splitlines() if line.strip()]
    html = _layout().render(
        style=Markup(_style()),  # noqa: S704 - our own file
        preview=preview,
        body=Markup(body_html),  # noqa: S704 - the marketer's own HTML; what customers say is escaped when filled in
        organization_name=wording.organization_name,
        address=address,
        unsubscribe_url=unsubscribe,
        preferences_url=preferences,
    )
    links: list[str] = []
    if wording.tracked:
        html, slots, links = tracked(html, slots)
    footer = [wording.organization_name, *address, "", f"Unsubscribe: {unsubscribe}", f"Preferences: {preferences}"]
    text = "\n".join([plain_text(body_html), "", "--", *footer, ""])
    return Content(
        sender=wording.sender,
        subject=compile_text(wording.subject),
        alternatives=tuple(compile_text(subject) for subject in wording.alternatives),
        html=compile_html(inlined(html), slots),
        text=compile_masked_text(text, slots),
        links=links,
    )


# Made here: two senders that resolved its types at once, each with a batch to take up, crashed in msgspec.
_read = msgspec.json.Decoder(Content).decode


def from_json(stored: Any) -> Content:
    """What `as_json` gave."""
    return _from_json(msgspec.json.encode(stored))


@lru_cache(maxsize=64)
def _from_json(raw: bytes) -> Content:
    return _read(raw)


def _from_markdown(body: str, slots: Mapping[str, Slot]) -> str:
    """A bold link on a line of its own is a button; a bold coupon code on a line of its own stands in a box."""
    html = _ALONE_LINK.sub(r'<p class="action"><a class="button" \1>\2</a></p>', _markdown().render(body))
    for word, slot in slots.items():
        if slot.name == "coupon_code":
            html = html.replace(f"<p><strong>{word}</strong></p>", f'<p class="code">{word}</p>')
    return html.replace("<table>", '<table class="written">')


@cache
def _style() -> str:
    return (files("shared.mail") / "templates" / "layout.css").read_text(encoding="utf-8")


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@cache
def _layout() -> Any:
    templates = Environment(
        loader=PackageLoader("shared.mail"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template("layout.html.j2")

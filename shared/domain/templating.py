"""Variables in mails: `{first_name}` and, with a default for who has none, `{first_name|there}`.

A text is compiled once into parts, plain text and slots in turn, and the slots are filled for each customer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from html import escape
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from shared.errors import InvalidError

VARIABLES: Final[dict[str, str]] = {
    "customer_name": "the customer's whole name",
    "first_name": "the first word of the name",
    "coupon_code": "the campaign's coupon",
    "discount_value": "what the coupon takes off, such as 20% or ₹500.00",
    "coupon_expiry": "the last day on which the coupon counts",
    "organization_name": "your own name",
    "total_spent": "what the customer spent, refunds taken off",
    "visit_count": "how often the customer bought",
    "last_visit_date": "the day of the last purchase",
    "unsubscribe_url": "one click and no marketing mail comes again",
    "preferences_url": "where the customer chooses how often and when",
}
COUPON_VARIABLES: Final = frozenset({"coupon_code", "discount_value", "coupon_expiry"})
LINK_VARIABLES: Final = frozenset({"unsubscribe_url", "preferences_url", "click_url", "open_url"})
"""Signed for each mail. The last two are no variables of a marketer's: shared/mail/tracking.py puts them in."""

# Rules of a style sheet stand in braces too, but never without a colon.
_SLOT = re.compile(r"\{([^{}:;|\r\n]{1,80})(?:\|([^{}\r\n]{0,200}))?\}")
_STYLE = re.compile(r"<style\b.*?</style\s*>", re.IGNORECASE | re.DOTALL)
_DOUBLED = re.compile(r"\{\{\s*([^{}|]{0,80})")
_NAMED = "|".join(VARIABLES)
_UNCLOSED = re.compile(rf"\{{(?:\s*(?:{_NAMED})\b|[A-Za-z_][\w ]{{0,79}}(?:\|[^{{}}\r\n]{{0,200}})?(?=[\r\n{{<]|$))")
_IN_LINK = re.compile(r"""(?:href|src|action)\s*=\s*(?:"[^"]*|'[^']*)$""", re.IGNORECASE)
_IN_TEXT_LINK = re.compile(r"https?://[^\s()<>\"]*$", re.IGNORECASE)
_LINK_START = re.compile(r"""=\s*["']$""")
_LONGEST_ATTRIBUTE = 4_000

Context = Literal["text", "html", "link"]
"""text: as it is. html: escaped. link: percent-encoded, for what stands inside an address."""


class Slot(NamedTuple):
    """A place to fill; `default` is taken where the customer has no value."""

    name: str
    default: str
    context: Context


Parts = tuple[str | Slot, ...]


def variables_of(text: str) -> list[str]:
    """The names of the variables that `text` uses, each once, in the order of their first use."""
    return list(dict.fromkeys(found[1].strip() for found in _SLOT.finditer(_without_styles(text))))


def check(text: str, has_coupon: bool = False, field: str = "") -> None:
    """Raises InvalidError, with the place, for a variable that does not exist, that needs a coupon where there is none,
    or whose braces are not a pair.
    """
    read = _without_styles(text)
    if doubled := _DOUBLED.search(read):
        name = doubled[1].strip() or "first_name"
        message = f"{{{{ begins no variable: they stand in single braces, as in {{{name}}}"
        raise _refused(message, text, doubled.start(), field, "broken_variable")
    for found in _SLOT.finditer(read):
        name = found[1].strip()
        if name not in VARIABLES:
            existing = ", ".join(f"{{{known}}}" for known in VARIABLES)
            message = f"{{{name}}} is no variable{_guess(name)}"
            message += f" Use one of {existing}; with a default as in {{first_name|there}}"
            raise _refused(message, text, found.start(), field, "unknown_variable")
        if name in COUPON_VARIABLES and not has_coupon:
            message = f"{{{name}}} needs a coupon. Choose one for this campaign or take the variable out"
            raise _refused(message, text, found.start(), field, "coupon_required")
    if unclosed := _UNCLOSED.search(_SLOT.sub(lambda found: " " * len(found[0]), read)):
        message = f"{unclosed[0].strip()!r} is not closed: put }} after it, or take the {{ out"
        raise _refused(message, text, unclosed.start(), field, "broken_variable")


def place(text: str, offset: int) -> str:
    """Where something stands, as an editor shows it: "line 3, column 5"; of a text of one line the column only."""
    line, column = text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"line {line}, column {column}" if "\n" in text else f"column {column}"


def _refused(message: str, text: str, offset: int, field: str, code: str) -> InvalidError:
    return InvalidError(f"{place(text, offset)}: {message}", field, code)


def _guess(name: str) -> str:
    near = get_close_matches(name.lower().replace(" ", "_"), VARIABLES, n=1)
    return f"; did you mean {{{near[0]}}}?" if near else "."


def _without_styles(text: str) -> str:
    """The text with blanks for its style sheets, whose braces are none of ours."""
    return _STYLE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text) if "<" in text else text


def compile_text(text: str) -> Parts:
    """The parts of a subject or a plain text: values stand there as they are, but for those inside an address."""
    masked, slots = mask(text)
    return _parts(masked, slots, html=False)


def mask(text: str) -> tuple[str, dict[str, Slot]]:
    """`text` with a word of letters and digits in the place of each slot, and which slot that is.

    Such a word passes through Markdown and HTML unharmed; `compile_html` finds it again. The same text always gives
    the same words, and none of them occurs in it.
    """
    salt = hashlib.sha256(text.encode()).hexdigest()[:12]
    slots: dict[str, Slot] = {}

    def word(found: re.Match[str]) -> str:
        name = f"slot{salt}n{len(slots)}z"
        slots[name] = Slot(found[1].strip(), (found[2] or "").strip(), "text")
        return name

    parts: list[str] = []
    end = 0
    for style in (*_STYLE.finditer(text), None):
        start, after = style.span() if style else (len(text), len(text))
        parts += [_SLOT.sub(word, text[end:start]), text[start:after]]
        end = after
    return "".join(parts), slots


def compile_html(masked: str, slots: Mapping[str, Slot]) -> Parts:
    """The parts of an HTML document that holds words of `mask`; how each value is escaped follows from its place."""
    return _parts(masked, slots, html=True)


def compile_masked_text(masked: str, slots: Mapping[str, Slot]) -> Parts:
    """The parts of a plain text that holds words of `mask`."""
    return _parts(masked, slots, html=False)


def fill(parts: Iterable[str | Slot], values: Mapping[str, str]) -> str:
    """The text for one customer: a value that is missing or empty gives way to the slot's default."""
    return "".join([part if isinstance(part, str) else _filled(part, values) for part in parts])


def fill_line(parts: Iterable[str | Slot], values: Mapping[str, str]) -> str:
    """The same on one line: a subject with a line break in it would start a header of somebody else's making."""
    return _on_one_line(fill(parts, values))


def fill_lines(parts: Iterable[str | Slot], columns: Mapping[str, Sequence[str]], number: int) -> list[str]:
    """The lines of so many customers, whose values come by column."""
    pieces = [[part] * number if isinstance(part, str) else _filled_all(part, columns, number) for part in parts]
    lines = list(map("".join, zip(*pieces, strict=True))) if pieces else [""] * number
    # Most are on one line already, which is seen of all at once.
    joined = "\n".join(["", *lines, ""])
    if "".join(lines).isprintable() and not any(blanks in joined for blanks in ("  ", "\n ", " \n")):
        return lines
    return [_on_one_line(line) for line in lines]


def _on_one_line(line: str) -> str:
    if not line.isprintable():
        line = "".join(c if c.isprintable() else " " for c in line)
    return " ".join(line.split()) if "  " in line or line[:1] == " " or line[-1:] == " " else line


def _filled_all(slot: Slot, columns: Mapping[str, Sequence[str]], number: int) -> Sequence[str]:
    column = columns.get(slot.name) or [""] * number
    return (
        [_filled(slot, {slot.name: value}) for value in column]
        if slot.context != "text"
        else ([value or slot.default for value in column])
    )


def _filled(slot: Slot, values: Mapping[str, str]) -> str:
    value = values.get(slot.name) or slot.default
    return value if slot.context == "text" else escaped(value, slot.context)


def escaped(value: str, context: Context) -> str:
    """A value as its place wants it."""
    if context == "html":
        return escape(value)
    return quote(value, safe="") if context == "link" else value


def _parts(masked: str, slots: Mapping[str, Slot], *, html: bool) -> Parts:
    if not slots:
        return (masked,) if masked else ()
    parts: list[str | Slot] = []
    end = 0
    for found in re.finditer("|".join(map(re.escape, slots)), masked):
        if found.start() > end:
            parts.append(masked[end : found.start()])
        slot = slots[found[0]]
        before = masked[max(0, found.start() - _LONGEST_ATTRIBUTE) : found.start()]
        context = _html_context(before, slot) if html else _text_context(before)
        parts.append(slot._replace(context=context))
        end = found.end()
    if end < len(masked):
        parts.append(masked[end:])
    return tuple(parts)


def _html_context(before: str, slot: Slot) -> Context:
    in_link = _IN_LINK.search(before)
    # Our own addresses are whole links; anything else inside an address is a piece of it and must stay one.
    whole_link = slot.name in LINK_VARIABLES and _LINK_START.search(before)
    return "link" if in_link and not whole_link else "html"


def _text_context(before: str) -> Context:
    return "link" if _IN_TEXT_LINK.search(before) else "text"

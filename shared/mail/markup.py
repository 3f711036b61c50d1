"""A marketer's HTML: checked when it is saved, cleaned of what would run, its style sheet written into the elements."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from typing import Final

import nh3
from css_inline import CSSInliner

from shared.domain.templating import place, variables_of
from shared.errors import InvalidError

# Elements without an end, and those whose end may be left out (HTML, 13.1.2.4).
VOID: Final = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
OPTIONAL: Final = {
    "body", "caption", "colgroup", "dd", "dt", "head", "html", "li", "option", "p", "rp", "rt", "tbody", "td", "tfoot",
    "th", "thead", "tr",
}  # fmt: skip
TAGS: Final = nh3.ALLOWED_TAGS | {"style", "font", "center", "section", "main", "address"}
# What mail programs understand; `style` too, since they read little of style sheets.
ANYWHERE: Final = {
    "align", "bgcolor", "border", "class", "color", "dir", "height", "id", "lang", "role", "style", "title", "valign",
    "width",
}  # fmt: skip
ATTRIBUTES: Final = {
    "a": {"href", "name", "target"},
    "font": {"face", "size"},
    "img": {"alt", "src"},
    "ol": {"start", "type"},
    "table": {"cellpadding", "cellspacing", "background"},
    "td": {"background", "colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "scope"},
}
UNREAD: Final = {"script", "title", "noscript", "object", "iframe", "template"}
_TAG = re.compile(r"</?[a-zA-Z]")
SCHEMES: Final = {"http", "https", "mailto", "tel", "sms"}


def check_html(text: str, field: str = "") -> None:
    """Raises InvalidError, with place and remedy, for tags that are not closed, cross each other or do not end."""
    reader = _Checker(text, field)
    reader.feed(text)
    reader.finish()


def cleaned(html: str) -> str:
    """Without scripts, forms, frames and handlers: what stays shows something and runs nothing."""
    return nh3.clean(
        html,
        tags=TAGS,
        clean_content_tags=UNREAD,
        attributes={"*": ANYWHERE} | ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel=None,
    )


def inlined(document: str) -> str:
    """The document, its style sheets in `style` attributes; what cannot stand there, such as @media, stays above."""
    return _inliner().inline(document)


@cache
def _inliner() -> CSSInliner:
    # Nothing is fetched: a mail must not depend on what a stranger's server says while it is compiled.
    return CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


class _Checker(HTMLParser):
    def __init__(self, text: str, field: str) -> None:
        super().__init__(convert_charrefs=True)
        self._text = text
        self._field = field
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._open: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append((tag, self._offset()))
        for name, value in attrs:
            if "<" in name or _TAG.search(value or ""):
                raise self._refused(f"<{tag}> does not end: a quote or > is missing", self._offset())
            if "{" in name or (name == "style" and variables_of(value or "")):
                message = f"a variable of <{tag}> stands where only its own words may: put it into the text or a link"
                raise self._refused(message, self._offset())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<br/>` opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if all(name != tag for name, _ in self._open):
            if tag not in OPTIONAL:
                raise self._refused(f"</{tag}> closes nothing: take it out, or put <{tag}> before", self._offset())
            return
        while (last := self._open.pop())[0] != tag:
            if last[0] not in OPTIONAL:
                where = place(self._text, self._offset())
                raise self._refused(f"<{last[0]}> is not closed before </{tag}> at {where}: put </{last[0]}>", last[1])

    def finish(self) -> None:
        """What is open at the end."""
        if "<" in self.rawdata[:1]:
            raise self._refused("this tag does not end: a quote or > is missing", self._offset())
        self.close()
        for tag, offset in self._open:
            if tag not in OPTIONAL:
                raise self._refused(f"<{tag}> is never closed: put </{tag}>", offset)

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column

    def _refused(self, message: str, offset: int) -> InvalidError:
        return InvalidError(f"{place(self._text, offset)}: {message}", self._field, "broken_html")

"""Links and a pixel that tell when a mail is opened and where it is left: put into the HTML once a campaign.

The text part keeps the addresses as they are: who reads it sees where a link leads, and pressing it there is rare.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Final

from shared.domain.templating import Slot, mask

_HREF = re.compile(r"""(<a(?:rea)?\b[^>]*?\shref\s*=\s*)(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
# The whole host stands there for everybody: no customer's value decides where a link of ours leads.
_TRACKED = re.compile(r"https?://[^\s/?#]+(?:[/?#][^\s]*)?", re.IGNORECASE)
_END = re.compile(r"</body\s*>", re.IGNORECASE)
PIXEL: Final = '<img src="{}" width="1" height="1" alt="" style="display:block;border:0">'
LONGEST: Final = 8_000


def tracked(html: str, slots: dict[str, Slot]) -> tuple[str, dict[str, Slot], list[str]]:
    """The document with its links replaced by `{click_url}/NUMBER` and a pixel at its end; the slots with these; and
    the targets by number. `html` holds words of `mask`, which `slots` explains. An address with a variable in it stays:
    where it leads is not the same for everybody.
    """
    click, click_slot = mask("{click_url}")
    opened, opened_slot = mask("{open_url}")
    targets: dict[str, int] = {}

    def replaced(found: re.Match[str]) -> str:
        target = unescape(found[2] if found[2] is not None else found[3]).strip()
        if len(target) > LONGEST or not _TRACKED.fullmatch(target) or any(word in target for word in slots):
            return found[0]
        number = targets.setdefault(target, len(targets))
        return f'{found[1]}"{click}/{number}"'

    html = _HREF.sub(replaced, html)
    pixel = PIXEL.format(escape(opened))
    html = _END.sub(lambda end: pixel + end[0], html, count=1) if _END.search(html) else html + pixel
    return html, slots | click_slot | opened_slot, list(targets)

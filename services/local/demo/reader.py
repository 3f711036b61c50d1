"""What one person does with one mail: decided from the address and the subject alone, so that every run is the same.

Days pass in seconds here: who would read it in the evening has done so ten seconds after it came.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from html import unescape
from typing import Any, Literal, NamedTuple, Self

from services.local.demo.mailboxes import is_gone, is_household
from services.local.sandbox.mail import mailbox

SEED = "readers"
PREFETCHED = 0.2  # of the people: their mail program fetches the pictures of every mail, read or not
CLICKING, CLICKING_TWICE = 0.35, 0.2  # of those who opened; of those who clicked
UNSUBSCRIBING, COMPLAINING = 0.015, 0.002  # of those who opened
LATEST_OPEN = 7.0  # seconds after it came
PREFETCHERS = (
    "Mozilla/5.0",  # Apple's privacy proxy
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/42.0.2311.135 Edge/12.246 Mozilla/5.0",  # Gmail, beforehand
)
PROGRAMS = (
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Microsoft Outlook 16.0.17726; ms-office; MSOffice 16)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.5.0",
)
BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Safari/604.1"

Kind = Literal["prefetch", "open", "click", "unsubscribe", "complain"]
_ADDRESS = r'\b{}="({}/{}/[^"]+)"'


class Act(NamedTuple):
    """`after` seconds since the mail came. `target` is an address of ingest, or the mail's id where one complains."""

    after: float
    kind: Kind
    target: str
    user_agent: str


@dataclass(frozen=True)
class Letter:
    """A mail as its reader has it: only addresses of `ingest` count, nobody is to go out into the world."""

    id: str
    address: str
    subject: str
    pixel: str | None
    links: list[str]
    unsubscribe: str | None

    @classmethod
    def of(cls, item: dict[str, Any], ingest: str) -> Self:
        """From an item of the sandbox's `GET /messages`."""
        html, headers = item["html"] or "", item["headers"]
        leave = headers.get("List-Unsubscribe", "").strip("<>")
        return cls(
            id=item["id"],
            address=mailbox(item["to"][0]),
            subject=item["subject"],
            pixel=next(iter(_addresses(html, "src", ingest, "o")), None),
            links=_addresses(html, "href", ingest, "c"),
            unsubscribe=leave if leave.startswith(f"{ingest}/u/") else None,
        )


def acts(letter: Letter) -> list[Act]:
    """What its reader does with it, in order; nothing for who is not of the demo."""
    if letter.pixel is None or not is_household(letter.address) or is_gone(letter.address):
        return []
    person = random.Random(f"{SEED}/{letter.address}")  # noqa: S311 - a simulation
    eager, program = person.betavariate(2.5, 3.0), person.choice(PROGRAMS)
    prefetcher = person.choice(PREFETCHERS) if person.random() < PREFETCHED else None
    done = [Act(0.5, "prefetch", letter.pixel, prefetcher)] if prefetcher else []
    chance = random.Random(f"{SEED}/{letter.address}/{letter.subject}")  # noqa: S311 - a simulation
    if chance.random() >= eager:
        return done
    at = 1.0 + chance.random() * (LATEST_OPEN - 1.0)
    # Whose pictures a proxy holds already is never seen to open.
    done += [] if prefetcher else [Act(at, "open", letter.pixel, program)]
    if letter.links and chance.random() < CLICKING:
        many = 2 if chance.random() < CLICKING_TWICE else 1
        for link in chance.sample(letter.links, min(many, len(letter.links))):
            at += chance.uniform(2.0, 3.0)  # faster would be a machine
            done.append(Act(at, "click", link, BROWSER))
    if letter.unsubscribe and chance.random() < UNSUBSCRIBING:
        done.append(Act(at + 1.0, "unsubscribe", letter.unsubscribe, BROWSER))
    if chance.random() < COMPLAINING:
        done.append(Act(at + 1.0, "complain", letter.id, BROWSER))
    return done


def _addresses(html: str, attribute: str, ingest: str, place: str) -> list[str]:
    found = re.findall(_ADDRESS.format(attribute, re.escape(ingest), place), html)
    return list(dict.fromkeys(unescape(address) for address in found))

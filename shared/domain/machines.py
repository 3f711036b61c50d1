"""Machines told from people, where mails are opened and their links followed: decisions without I/O.

Wrong either way costs something, and not the same. A machine taken for a person moves segments and wins A/B tests; a
person taken for a machine loses one open. So only what people surely do not do counts against a fetch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

# What machines say of themselves. Mail programs and browsers of people name none of it.
NAMES: Final = (
    *("bot", "crawl", "spider", "slurp", "scan", "preview", "prefetch", "headless", "monitor"),
    *("barracuda", "mimecast", "proofpoint", "symantec", "safelinks", "fortinet", "sophos", "trendmicro", "forcepoint"),
    *("curl/", "wget", "python", "go-http-client", "java/", "okhttp", "libwww", "httpclient", "axios", "node-fetch"),
)
# Apple's privacy proxy fetches every picture, read or not, and names no browser at all.
APPLE: Final = "mozilla/5.0"
# Gmail fetches pictures before it shows a mail to somebody who has it open. Its image proxy is another thing: it comes
# when the mail is opened, and hides who opens it (https://bird.com/en-us/blog/gmail-prefetching-images).
GMAIL_PREFETCH: Final = "edge/12.246 mozilla/5.0"

AT_ONCE: Final = timedelta(seconds=1)
"""Nobody follows two links of a mail within this."""
SETTLED: Final = timedelta(seconds=2)
"""After this no click can change anymore what another one is taken for: AT_ONCE, and as much for clocks and queues."""


class Fetch(NamedTuple):
    """What a request says of itself; `purpose` is Sec-Purpose or one of its forerunners."""

    user_agent: str
    method: str = "GET"
    purpose: str = ""


class Click(NamedTuple):
    """A link that was followed; `told` says that the request alone, or its coming too soon, gave a machine away."""

    link: str
    at: datetime
    told: bool


def gives_itself_away(fetch: Fetch) -> bool:
    """Whether the request alone shows that no person made it."""
    said = fetch.user_agent.strip().lower()
    return (
        fetch.method != "GET"
        or any(word in fetch.purpose.lower() for word in ("prefetch", "prerender", "preview"))
        or said in {"", APPLE}
        or said.endswith(GMAIL_PREFETCH)
        or any(name in said for name in NAMES)
    )


def came_too_soon(at: datetime, went_at: datetime | None, within: timedelta) -> bool:
    """Whether a fetch follows the delivery (else the sending) faster than a person could; 0 says that one could, as
    where somebody tries mails out in the sandbox.
    """
    return bool(within) and went_at is not None and at < went_at + within


def are_machines(clicks: Sequence[Click]) -> list[bool]:
    """For each click within one mail whether a machine made it: by what it told, or by following another link at the
    same time. A link pressed twice is impatience.
    """
    return [
        click.told or any(other.link != click.link and abs(other.at - click.at) < AT_ONCE for other in clicks)
        for click in clicks
    ]

"""Simulated people who read the shop's mail: `python -m services.local.demo.readers`.

The supervisor of `regulars demo` keeps it running. It follows the sandbox's inbox and, for the households that the demo
made up, fetches the pixel, follows links and unsubscribes at ingest, as mail programs and browsers do. How far it has
come is kept; after a restart it repeats at most what was under way.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx

from services import installation
from services.installation import Installation, write_private
from services.local.demo.reader import Act, Letter, acts
from shared.logging import configure, logger
from shared.settings import Settings, load

FILE = "demo-readers.cursor"
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 15.0
PAUSE_SECONDS = 2.0  # before what failed is tried again
AT_ONCE = 200  # mails
MOST_UNDER_WAY = 2_000  # acts

log = logger(__name__)


@dataclass
class Page:
    """Mails that were fetched together: `left` acts are still to be done before `cursor` is what was read."""

    cursor: str
    left: int = 0


class Readers:
    """`step` does what is due; `clock` gives seconds that only grow."""

    def __init__(
        self,
        found: Installation,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._ingest, self._sandbox = found.endpoints["ingest"], found.endpoints["sandbox"]
        self._path = found.data_dir / FILE
        self._clock = clock
        self._client = httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False, transport=transport)
        self._pages: deque[Page] = deque()
        self._cursor = through(found.data_dir)
        self._due: list[tuple[float, int, Act, Page]] = []
        self._number = count()  # keeps acts of one instant in their order

    def close(self) -> None:
        self._client.close()

    def step(self) -> None:
        """Take new mails, do what is due."""
        if len(self._due) < MOST_UNDER_WAY:
            self._fetch()
        while self._due and self._due[0][0] <= self._clock():
            _, _, act, page = heapq.heappop(self._due)
            if self._do(act):
                page.left -= 1
            else:
                heapq.heappush(self._due, (self._clock() + PAUSE_SECONDS, next(self._number), act, page))
        self._note()

    def _fetch(self) -> None:
        query = {"order": "oldest", "limit": str(AT_ONCE)} | ({"cursor": self._cursor} if self._cursor else {})
        try:
            answer = self._client.get(f"{self._sandbox}/messages", params=query).raise_for_status().json()
        except httpx.HTTPError as error:
            log.warning("readers.wait", why=str(error))
            return
        if not answer["items"]:
            return
        self._cursor = answer["next_cursor"]
        page, now = Page(answer["next_cursor"]), self._clock()
        for item in answer["items"]:
            for act in acts(Letter.of(item, self._ingest)):
                heapq.heappush(self._due, (now + act.after, next(self._number), act, page))
                page.left += 1
        self._pages.append(page)

    def _do(self, act: Act) -> bool:
        """Whether it is done with: what ingest refuses is not tried again."""
        headers = {"User-Agent": act.user_agent}
        try:
            if act.kind == "complain":
                told = {"type": "email.complained"}
                answer = self._client.post(f"{self._sandbox}/messages/{act.target}/events", json=told)
            elif act.kind == "unsubscribe":
                one_click = {"List-Unsubscribe": "One-Click"}
                answer = self._client.post(act.target, data=one_click, headers=headers)
            else:
                answer = self._client.get(act.target, headers=headers)  # a redirect's target is not ours to visit
        except httpx.TransportError as error:
            log.warning("reader.waits", why=str(error))
            return False
        if answer.is_client_error:
            log.error("reader.refused", kind=act.kind, status=answer.status_code)
        return not answer.is_server_error

    def _note(self) -> None:
        """Remember how far all is read."""
        done = None
        while self._pages and not self._pages[0].left:
            done = self._pages.popleft()
        if done is not None:
            write_private(self._path, done.cursor)


def through(data_dir: Path) -> str | None:
    """The sandbox's cursor after the last mail that is read, None before the first."""
    try:
        return (data_dir / FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def unread(found: Installation) -> bool:
    """Whether there is mail that they are not through with."""
    query = {"order": "oldest", "limit": "1"} | ({"cursor": cursor} if (cursor := through(found.data_dir)) else {})
    try:
        answer = httpx.get(f"{found.endpoints['sandbox']}/messages", params=query, trust_env=False).raise_for_status()
    except httpx.HTTPError:
        return True  # it is being started again
    return bool(answer.json()["items"])


def main() -> None:
    """Read until ended."""
    configure(load(Settings), "readers")
    readers = Readers(installation.require())
    while True:
        readers.step()
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()

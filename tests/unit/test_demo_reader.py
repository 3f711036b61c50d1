"""The demo's readers: what they do with a mail, and that they leave everybody else's alone."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import httpx
import pytest

from services.installation import Installation
from services.local.demo import households
from services.local.demo.mailboxes import is_gone, is_household
from services.local.demo.reader import Act, Letter, acts
from services.local.demo.readers import Readers, through
from shared.domain.machines import AT_ONCE, Fetch, gives_itself_away

INGEST = "http://127.0.0.1:8010"
ADDRESSES = [households.make_up(f"hh-{number}", date(2026, 11, 27), []).email for number in range(2_000)]
HTML = (
    f'<a href="{INGEST}/c/tok-en/0">Fresh</a> <a href="{INGEST}/c/tok-en/1">Recipes</a> <a href="{INGEST}/p/x">Wishes</a>'
    f'<img src="{INGEST}/o/tok-en" width="1">'
)
ITEM = {
    "id": "m-1",
    "to": [f"Ann <{ADDRESSES[0]}>"],
    "subject": "Bread",
    "html": HTML,
    "headers": {"List-Unsubscribe": f"<{INGEST}/u/tok-en>"},
}
LETTER = Letter.of(ITEM, INGEST)


def _all() -> dict[str, list[Act]]:
    return {address: acts(replace(LETTER, address=address)) for address in ADDRESSES}


def test_a_letter_is_what_its_reader_can_press() -> None:
    links = [f"{INGEST}/c/tok-en/0", f"{INGEST}/c/tok-en/1"]
    assert Letter("m-1", ADDRESSES[0], "Bread", f"{INGEST}/o/tok-en", links, f"{INGEST}/u/tok-en") == LETTER


def test_nothing_outside_of_ingest_is_ever_fetched() -> None:
    html = HTML.replace(INGEST, "https://tracker.example")
    elsewhere = ITEM | {"html": html, "headers": {"List-Unsubscribe": "<https://tracker.example/u/x>"}}
    letter = Letter.of(elsewhere, INGEST)
    assert (letter.pixel, letter.links, letter.unsubscribe) == (None, [], None)
    assert all(acts(replace(letter, address=address)) == [] for address in ADDRESSES)


def test_some_open_fewer_click_very_few_leave_and_every_run_is_the_same() -> None:
    done = _all()
    assert done == _all()
    did = Counter(kind for each in done.values() for kind in {act.kind for act in each})
    assert 0.3 < did["open"] / len(ADDRESSES) < 0.6
    assert 0.08 < did["click"] / len(ADDRESSES) < 0.25
    assert 0 < did["unsubscribe"] / len(ADDRESSES) < 0.02
    assert 0 < did["complain"] <= did["unsubscribe"]
    gone = {address for address in ADDRESSES if is_gone(address)}
    assert 0 < len(gone) / len(ADDRESSES) < 0.03
    assert not any(done[address] for address in gone)


def test_machines_are_told_from_people() -> None:
    done = _all().values()
    assert 0.1 < sum(any(act.kind == "prefetch" for act in each) for each in done) / len(ADDRESSES) < 0.3
    for each in done:
        assert all(gives_itself_away(Fetch(act.user_agent)) == (act.kind == "prefetch") for act in each)
        clicks = [act.after for act in each if act.kind == "click"]
        assert all(later - at > AT_ONCE.total_seconds() for at, later in itertools.pairwise(clicks))


def test_what_cannot_be_reached_is_tried_again_before_anything_counts_as_read(tmp_path: Path) -> None:
    who = next(address for address, done in _all().items() if [act.kind for act in done] == ["open", "click"])
    now, away, asked = 0.0, True, []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/messages":
            new = "cursor" not in request.url.params
            return httpx.Response(200, json={"items": [ITEM | {"to": [who]}] if new else [], "next_cursor": "1"})
        if away:
            raise httpx.ConnectError("refused")
        asked.append(request.url.path[:3])
        return httpx.Response(503 if len(asked) == 1 else 200)

    found = Installation(tmp_path, "demo", endpoints={"ingest": INGEST, "sandbox": "http://sandbox.test"})
    with closing(Readers(found, lambda: now, httpx.MockTransport(answer))) as reading:
        for _ in range(30):
            reading.step()
            now += 1.0
        assert (asked, through(tmp_path)) == ([], None)
        away = False
        for _ in range(10):
            reading.step()
            now += 1.0
    assert (len(asked), {*asked}) == (3, {"/o/", "/c/"})
    assert through(tmp_path) == "1"


@pytest.mark.parametrize(
    "address", ["maria@example.com", "ann.lee.hh-1@example.com.au", "me@shop.example", "hh-1@example.com", ""]
)
def test_the_mail_of_others_is_left_to_them(address: str) -> None:
    assert not is_household(address)
    assert not is_gone(address)
    assert acts(replace(LETTER, address=address)) == []

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.local import part, processes
from services.local.part import Keeper, Part
from services.local.program import Program
from shared.errors import SetupError
from tests.stack import eventually

FOR_EVER = "import signal; signal.pause()"
DEAF = "import signal, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path('deaf').touch(); signal.pause()"


def python(folder: Path, code: str) -> Program:
    return Program("child", [sys.executable, "-c", code], folder)


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., Keeper]]:
    keepers = []

    def make(
        name: str, code: str, *, needs: tuple[Keeper, ...] = (), ready: Callable[[], bool] = lambda: True
    ) -> Keeper:
        part = Part(name, lambda: python(tmp_path, code), ready, grace=0.3)
        keeper = Keeper(part, tmp_path / f"{name}.log", tmp_path, lambda _: None, needs)
        keeper.start()
        keepers.append(keeper)
        return keeper

    yield make
    for keeper in keepers:
        keeper.stop()
    assert processes.marked(tmp_path) == []


def test_what_is_killed_is_started_again(keep: Callable[..., Keeper]) -> None:
    keeper = keep("child", FOR_EVER)
    first = eventually(lambda: keeper.pid)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: keeper.pid if keeper.pid != first else None) != first
    eventually(keeper.ready.is_set)


def test_what_ends_again_and_again_is_given_longer_and_longer_pauses(
    keep: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, "FIRST_PAUSE", 0.01)
    news: list[str] = []
    keeper = keep("child", "raise SystemExit(3)")
    keeper._changed = news.append
    eventually(lambda: keeper.starts >= 4)
    pauses = [float(line.split(" in ")[1].removesuffix(" s")) for line in filter(None, news)]
    assert pauses == sorted(pauses)
    assert all("ended with code 3" in line for line in filter(None, news))


def test_nothing_starts_before_what_it_needs_works(keep: Callable[..., Keeper]) -> None:
    works: list[bool] = []
    store = keep("store", FOR_EVER, ready=lambda: bool(works))
    service = keep("service", FOR_EVER, needs=(store,))
    eventually(lambda: store.pid)
    assert service.pid is None
    works.append(True)
    eventually(lambda: service.pid)


def test_what_does_not_end_when_asked_is_ended(keep: Callable[..., Keeper], tmp_path: Path) -> None:
    keeper = keep("child", DEAF)
    eventually((tmp_path / "deaf").exists)
    keeper.stop()
    assert keeper.pid is None


def test_why_something_cannot_be_started_is_kept(tmp_path: Path) -> None:
    def refuse() -> Program:
        raise SetupError("no Java")

    keeper = Keeper(Part("child", refuse, lambda: True), tmp_path / "log", tmp_path, lambda _: None)
    keeper.start()
    assert str(eventually(lambda: keeper.refused)) == "no Java"
    keeper.stop()


def test_orphans_are_found_by_the_directory_they_were_started_for(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
    stays = python(other, FOR_EVER).start(tmp_path / "log", other)
    goes = python(mine, DEAF).start(tmp_path / "log", mine)
    try:
        eventually((mine / "deaf").exists)
        assert processes.end_orphans(mine, grace=0.3) == [goes.pid]
        assert stays.poll() is None
    finally:
        for process in (stays, goes):
            process.kill()
            process.wait()

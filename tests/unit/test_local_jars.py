from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import pytest
from rich.console import Console

from services.local import jars
from services.local.jars import Jar
from shared.errors import SetupError

CONTENT = {"one": b"first jar", "two": b"second jar"}
WANTED = [Jar("g", name, "1.0", len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()]


class Repository:
    """Downloads from memory, counting."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked: list[str] = []
        self._lock = Lock()

    def __call__(self, jar: Jar, folder: Path, advance: Callable[[int], None]) -> Path:
        with self._lock:
            self.asked.append(jar.artifact)
        path = folder / jar.file_name
        data = self.content[jar.artifact]
        path.write_bytes(data)
        advance(len(data))
        return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGULARS_CACHE_DIR", str(tmp_path))
    return tmp_path / "kafka-4.4.0"


def ensure(repository: Repository) -> list[Path]:
    return jars.ensure(Console(file=io.StringIO()), WANTED, repository)


def test_all_45_jars_are_pinned_to_the_byte() -> None:
    pinned = jars.pinned()
    assert len(pinned) == len({jar.file_name for jar in pinned}) == 45
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in pinned)


def test_jars_are_fetched_once() -> None:
    repository = Repository(CONTENT)
    first = ensure(repository)
    assert [path.read_bytes() for path in first] == list(CONTENT.values())
    assert ensure(repository) == first
    assert sorted(repository.asked) == ["one", "two"]


def test_a_damaged_jar_is_fetched_again(cache: Path) -> None:
    repository = Repository(CONTENT)
    ensure(repository)
    (cache / "two-1.0.jar").write_bytes(b"second jaX")
    assert ensure(repository)[1].read_bytes() == b"second jar"
    assert repository.asked.count("one") == 1


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_not_kept(cache: Path) -> None:
    with pytest.raises(SetupError, match=r"two-1\.0\.jar was downloaded but is not the pinned file") as caught:
        ensure(Repository(CONTENT | {"two": b"other bytes"}))
    assert "\n" not in str(caught.value)
    assert not (cache / "two-1.0.jar").exists()


def test_a_download_that_fails_is_named_in_one_line_and_the_finished_ones_stay(cache: Path) -> None:
    class Broken(Repository):
        def __call__(self, jar: Jar, folder: Path, advance: Callable[[int], None]) -> Path:
            if jar.artifact == "two":
                (folder / jar.file_name).write_bytes(b"half")
                raise ConnectionError("HTTPSConnectionPool(...)\nRead timed out")
            return super().__call__(jar, folder, advance)

    with pytest.raises(SetupError, match=r"Cannot download two-1\.0\.jar \(timed out\)") as caught:
        ensure(Broken(CONTENT))
    assert "\n" not in str(caught.value)
    repository = Repository(CONTENT)
    ensure(repository)
    assert repository.asked == ["two"]
    assert not list(cache.glob(".download-*"))


def test_two_at_once_fetch_each_jar_once() -> None:
    repository = Repository(CONTENT)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ensure(repository), range(2))
    assert first == second
    assert sorted(repository.asked) == ["one", "two"]

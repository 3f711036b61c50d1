from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.local import directory
from services.local.directory import DataDirectory, last_lines
from services.local.plan import Options
from services.local.supervisor import Supervisor
from shared.errors import SetupError


def test_secrets_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path).secrets()
    assert DataDirectory(tmp_path).secrets() == first
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert DataDirectory(tmp_path / "other").secrets() != first


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory.shutil, "disk_usage", lambda _: SimpleNamespace(free=123_000_000))
    with pytest.raises(SetupError, match="is full: 123 MB free, 500 MB needed") as caught:
        DataDirectory(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_disk_that_fills_while_starting_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(directory, "write_private", lambda *_: fill(None))
    with pytest.raises(SetupError, match=r"The disk of .* is full") as caught:
        Supervisor(Options(tmp_path), lambda _: None).run()
    assert "\n" not in str(caught.value)


def test_a_place_that_is_no_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="Choose another place"):
        DataDirectory(tmp_path / "file")


def test_only_one_may_hold_a_directory(tmp_path: Path) -> None:
    with (
        DataDirectory(tmp_path).locked(),
        pytest.raises(SetupError, match="already runs"),
        DataDirectory(tmp_path).locked(),
    ):
        pass
    with DataDirectory(tmp_path).locked():
        pass


def test_a_log_that_grew_too_long_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "LOG_MB", 0)
    held = DataDirectory(tmp_path)
    held.log("kafka").write_text("old")
    assert not held.begin_log("kafka").exists()
    assert (held.logs / "kafka.log.1").read_text() == "old"


def test_the_end_of_a_log_is_shown_and_of_none_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {number}" for number in range(5_000)))
    assert last_lines(log, 2) == "    line 4998\n    line 4999"
    assert last_lines(tmp_path / "none") == ""


def test_the_stores_end_after_the_services() -> None:
    ended: list[str] = []
    held = Supervisor(Options(Path()), lambda _: None)
    held._keepers = [SimpleNamespace(name=name, stop=lambda name=name: ended.append(name)) for name in
                     ("database", "kafka", "ingest", "mailer")]  # fmt: skip
    held._changed = lambda _: None
    held._end()
    assert set(ended[:2]) == {"ingest", "mailer"}
    assert ended[2:] == ["kafka", "database"]

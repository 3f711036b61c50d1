from __future__ import annotations

import os
from pathlib import Path

import pytest

from services import installation
from services.installation import Installation
from shared.errors import SetupError


def make(folder: Path, database: str = "postgresql://here") -> Installation:
    folder.mkdir(exist_ok=True)
    made = Installation(
        folder,
        "demo",
        keys={"terminal": "rg.secret"},
        environment={"REGULARS_DATABASE": database, "REGULARS_KAFKA": "k:1"},
    )
    installation.write(made)
    return made


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("REGULARS_")]:
        monkeypatch.delenv(name)
    # What `adopt` sets is taken back after the test.
    for name in ("REGULARS_DATABASE", "REGULARS_KAFKA"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_file_comes_back_as_it_was_written_and_only_for_its_owner(tmp_path: Path) -> None:
    made = make(tmp_path / "a")
    assert installation.find(tmp_path / "a") == made
    assert (tmp_path / "a" / "status.json").stat().st_mode & 0o777 == 0o600


def test_an_option_goes_before_the_environment_and_that_before_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installation.find() is None
    here = make(tmp_path / ".regulars")
    assert installation.find() == here
    elsewhere = make(tmp_path / "elsewhere")
    monkeypatch.setenv("REGULARS_DATA_DIR", str(tmp_path / "elsewhere"))
    assert installation.find() == elsewhere
    given = make(tmp_path / "given")
    assert installation.find(tmp_path / "given") == given


def test_where_there_is_none_one_line_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="start one with `regulars up`"):
        installation.require(tmp_path / "nowhere")


def test_what_the_environment_says_wins_unless_a_directory_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / ".regulars")
    monkeypatch.setenv("REGULARS_DATABASE", "postgresql://mine")
    installation.adopt()
    assert (os.environ["REGULARS_DATABASE"], os.environ["REGULARS_KAFKA"]) == ("postgresql://mine", "k:1")
    installation.adopt(tmp_path / ".regulars")
    assert os.environ["REGULARS_DATABASE"] == "postgresql://here"


def test_a_command_without_an_installation_keeps_its_environment() -> None:
    assert installation.adopt() is None
    assert "REGULARS_DATABASE" not in os.environ

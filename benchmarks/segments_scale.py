"""Whether the segmenter's rate holds with more segments and with more customers: each size against a smaller one.

Every size has a machine of its own, and customers made by SQL with the memberships that they have. 10,000,000 of them
take a quarter of an hour to make: --largest 10000000.

python -m benchmarks.segments_scale [--events N] [--runs N] [--largest N] [--json FILE]
"""

from __future__ import annotations

import statistics

from benchmarks import crowd
from benchmarks.machine import machine
from benchmarks.report import Report, arguments
from benchmarks.segmenter import fill, timed_segmenter

SMALL, USUAL = 10_000, 1_000_000
SIZES = ((SMALL, 100), (USUAL, 1), (USUAL, 100), (USUAL, 1_000))  # customers, segments


def measured(customers: int, segments: int, events: int, runs: int, report: Report) -> float:
    """Events a second, the median; each run is reported."""
    name = f"{customers:,} customers, {segments:,} segments"
    inside = Report(report.name, name)
    rates = []
    with machine() as settings:
        crowd.found(settings.database, customers, crowd.segments(segments))
        for run in range(runs):
            fill(settings, list(crowd.sales(f"r{run}", events, customers)))
            rates.append(timed_segmenter(settings, events, inside))
    report.add(f"{name}: events/s", *rates)
    report.add(f"{name}: resident memory, MB", *inside.figures["resident memory of the segmenter, MB"])
    return statistics.median(rates)


def main() -> None:
    given = arguments(
        __doc__,
        [
            ("events", 200_000, "sales a run"),
            ("runs", 3, "runs"),
            ("largest", 0, "so many customers, too, a multiple of 10,000"),
        ],
    )
    report = Report("segments_scale", f"{given.events:,} sales a run, by customers and segments, durable")
    sizes = [*SIZES, *([(given.largest, 100)] if given.largest else [])]
    rates = {size: measured(*size, given.events, given.runs, report) for size in sizes}
    for name, larger, smaller, wanted in (
        ("100 segments to 1", (USUAL, 100), (USUAL, 1), ""),
        ("1,000 segments to 100", (USUAL, 1_000), (USUAL, 100), ">= 0.6"),
        ("1,000,000 customers to 10,000", (USUAL, 100), (SMALL, 100), ""),
        (f"{given.largest:,} customers to 1,000,000", (given.largest, 100), (USUAL, 100), ">= 0.7"),
    ):
        if larger in rates:
            report.add(f"ratio of {name}", rates[larger] / rates[smaller])
            report.claim(f"ratio of {name}", wanted)
    report.finish(given.json)


if __name__ == "__main__":
    main()

"""What the demo tells at its end."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from services.installation import Installation
from services.local.demo import summary
from services.local.demo.figures import Figures, Mails
from services.local.demo.summary import Summary

INSTALLATION = Installation(
    data_dir=Path("/tmp/regulars demo"),  # noqa: S108 - only shown
    organization_id="demo",
    endpoints={
        "ingest": "http://127.0.0.1:8010",
        "admin": "http://127.0.0.1:8020",
        "sandbox": "http://127.0.0.1:8030",
        "kafka": "127.0.0.1:9092",
    },
    metrics={"segmenter": "http://127.0.0.1:41234/metrics"},
)
TOLD = Summary(
    currency="USD",
    figures=Figures(customers=2_469, sales=155_848, revenue=456_970_626, redemptions=2_102, consents=2_469),
    dead_letters=0,
    segments=[("VIP Customers", 295), ("New Customers", 5)],
    mails=[Mails("Birthday", "sent", None, 12, 11, 5, 2), Mails("Birthday", "skipped", "no_consent", 3)],
)


def _shown(told: Summary = TOLD) -> str:
    file = io.StringIO()
    summary.show(told, INSTALLATION, Console(file=file, width=80))
    return file.getvalue()


def test_it_tells_the_year_in_numbers() -> None:
    words = " ".join(_shown().split())
    for part in (
        "customers 2,469",
        "sales 155,848 2,102 coupons",
        "$4,569,706.26",
        "VIP Customers 295",
        "12 sent: 11 delivered, 5 opened, 2 clicked 3 skipped: no consent",
    ):
        assert part in words


def test_it_names_the_addresses_and_commands_whole() -> None:
    text = _shown()
    for part in ("http://127.0.0.1:8030", "http://127.0.0.1:8020/docs", "http://127.0.0.1:41234/metrics"):
        assert part in text
    assert "regulars verify --data-dir '/tmp/regulars demo'" in text


def test_dead_letters_come_with_what_to_do() -> None:
    assert "dead-letters list" not in _shown()
    told = Summary(TOLD.currency, TOLD.figures, 4, TOLD.segments, TOLD.mails)
    assert "regulars dead-letters list" in _shown(told)


def test_a_shop_without_mails_has_no_empty_heading() -> None:
    told = Summary(TOLD.currency, TOLD.figures, 0, TOLD.segments, [])
    assert "Mails" not in _shown(told)


def test_the_live_line_gives_the_pace_of_the_tills() -> None:
    now = Figures(customers=2_470, sales=155_878, revenue=456_990_000)
    assert summary.live_line(now, TOLD.figures, 10.0, (14, 6), "USD") == (
        "3.0 sales/s, 2,470 customers, $4,569,900.00 in all, 14 mails, 6 opened"
    )

from __future__ import annotations

import pytest

from services.admin import starting_segments
from services.admin.campaign_models import Content
from services.admin.starting_campaigns import templates
from services.admin.starting_segments import Thresholds
from shared.domain.criteria import parse
from shared.domain.money import CURRENCIES, format_money, in_minor_units, minor_units
from shared.domain.templating import check
from shared.errors import InvalidError


def test_ready_made_segments_are_valid_and_each_has_its_slot() -> None:
    segments = starting_segments.segments(Thresholds.of("INR"))
    assert [segment["segment_id"] for segment in segments] == [
        "vip-customers",
        "at-risk",
        "high-spenders",
        "new-customers",
    ]
    assert sorted(segment["slot"] for segment in segments) == [0, 1, 2, 3]
    assert [parse(segment["criteria"]).sentence(lambda money: format_money(money, "INR")) for segment in segments] == [
        "has spent at least ₹10,000.00 and has at least 10 visits",
        "last visited 60 days ago or longer",
        "has spent at least ₹5,000.00 and has less than 10 visits",
        "has between 1 and 3 visits and registered within the last 30 days",
    ]


def test_starting_templates_pass_the_checks_of_the_api() -> None:
    ids = {segment["segment_id"] for segment in starting_segments.segments(Thresholds.of("INR"))}
    for template in templates(Thresholds.of("INR")):
        content = Content.model_validate(template.campaign)
        for text in (content.subject, content.preview_text, content.body):
            check(text, has_coupon=content.coupon_code is not None)
        assert getattr(content.trigger, "segment_id", "at-risk") in ids
        row = template.coupon_row()
        assert content.coupon_code == (row and row["code"])
        if row:
            assert "{coupon_code}" in content.body
            # What comes again must not end with the first code that is used.
            comes_again = getattr(content.trigger, "cool_down_days", 0) < 365
            assert content.unique_codes is comes_again is row["unique_only"]


def test_thresholds_are_whole_units_of_the_currency() -> None:
    assert [Thresholds.of(currency).vip_spent for currency in ("INR", "JPY", "KWD")] == [1_000_000, 10_000, 10_000_000]


def test_money_has_the_decimals_of_its_currency() -> None:
    assert [minor_units(currency) for currency in ("EUR", "JPY", "KWD", "ISK")] == [2, 0, 3, 0]
    assert len(CURRENCIES) > 150
    assert in_minor_units(5, "KWD") == 5_000


@pytest.mark.parametrize("currency", ["", "inr", "XXX", "EURO", "BTC"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(InvalidError) as refused:
        minor_units(currency)
    assert refused.value.field == "currency"


def test_money_reads_as_people_write_it() -> None:
    shown = [
        format_money(123_450, "INR"),
        format_money(-5, "USD"),
        format_money(1_234_567, "JPY"),
        format_money(1_500, "KWD"),
        format_money(0, "CHF"),
    ]
    assert shown == ["₹1,234.50", "-$0.05", "¥1,234,567", "KWD 1.500", "CHF 0.00"]

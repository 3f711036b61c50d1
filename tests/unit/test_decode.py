"""The door for events: what it lets in, what it refuses, and in which words."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import UNSET

from shared.domain import decode as door
from shared.domain.events import MAX_EVENT_BYTES, CustomerUpserted, Reason, SaleCompleted, decode, decode_till
from shared.errors import InvalidError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LINE = {"product_id": "p-1", "quantity": 2, "total": 9500}
SALE = {
    "organization_id": "demo",
    "store_id": "s1",
    "sale_id": "R-0042",
    "customer_id": "c-77",
    "currency": "INR",
    "total": 9000,
    "discount": 500,
    "lines": [LINE],
}


def envelope(kind="sale.completed", data=None, **more):
    data = SALE if data is None else data
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/t7",
        "type": kind,
        "time": NOW.isoformat(),
        "data": data,
        **more,
    }


def read(event, now=NOW):
    return decode(json.dumps(event).encode(), now)


def refusal(event, now=NOW):
    with pytest.raises(InvalidError) as caught:
        decode(event if isinstance(event, bytes) else json.dumps(event).encode(), now)
    return caught.value


def test_a_sale_takes_the_fast_path_and_a_profile_the_models():
    sale = json.dumps(envelope()).encode()
    assert isinstance(door._by_fast_path(sale, door._ANY), SaleCompleted)
    profile = json.dumps(envelope("customer.upserted", {"organization_id": "demo", "customer_id": "c-77"})).encode()
    assert door._by_fast_path(profile, door._ANY) is None
    assert isinstance(decode(profile, NOW), CustomerUpserted)


def test_an_absent_profile_field_is_told_from_null():
    data = read(envelope("customer.upserted", {"organization_id": "demo", "customer_id": "c-77", "email": None})).data
    assert data.email is None
    assert data.name is UNSET


def test_the_message_names_the_field_and_what_to_do():
    error = refusal(envelope(data={**SALE, "total": 90.5}))
    assert error.field == "data.total"
    assert str(error) == (
        "data.total: must be an integer in minor units (paise, cents), not negative, for example 9000 for 90.00; got 90.5"
    )


def test_a_missing_field_is_named_with_what_to_give():
    error = refusal(envelope(data={**SALE, "lines": [{"product_id": "p-1", "quantity": 1}]}))
    assert error.field == "data.lines[0].total"
    assert error.message.startswith("is missing: give an integer in minor units")


def test_a_long_value_is_shown_shortened():
    error = refusal(envelope(id="x" * 10_240))
    assert "(10,240 characters)" in error.message
    assert len(error.message) < 200


def test_time_may_be_24_hours_ahead_and_no_more():
    assert read(envelope(), NOW - timedelta(hours=24)).time == NOW
    error = refusal(envelope(), NOW - timedelta(hours=24, microseconds=1))
    assert (error.code, error.field) == (Reason.FUTURE_TIME, "time")
    assert refusal(envelope(), NOW - timedelta(hours=25)).code == Reason.FUTURE_TIME


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_at_the_calendars_ends_is_refused_not_a_crash(time):
    assert refusal(envelope(time=time)).field == "time"


def test_an_instant_keeps_its_microseconds_and_its_zone():
    assert read(envelope(time="2026-11-20T15:45:00.123456+05:30")).time == datetime(
        2026, 11, 20, 10, 15, 0, 123456, UTC
    )


def test_an_event_may_have_a_million_bytes_and_no_more():
    body = json.dumps(envelope())
    assert decode(body.ljust(MAX_EVENT_BYTES).encode(), NOW).id == "e-1"
    assert refusal(body.ljust(MAX_EVENT_BYTES + 1).encode()).code == Reason.TOO_LARGE


def test_lines_less_discount_are_the_total_unless_there_are_no_lines():
    assert read(envelope(data={**SALE, "lines": [], "total": 1})).data.total == 1
    error = refusal(envelope(data={**SALE, "discount": 0}))
    assert (error.code, error.field) == (Reason.LINES_TOTAL, "data.total")
    assert "9500; got 9000" in error.message


def test_a_receipt_may_have_2000_lines_and_no_more():
    free = {**LINE, "total": 0}
    many = {**SALE, "total": 0, "discount": 0, "lines": [free] * 2_000}
    assert len(read(envelope(data=many)).data.lines) == 2_000
    assert refusal(envelope(data={**many, "lines": [free] * 2_001})).field == "data.lines"


@pytest.mark.parametrize("text", ["\x00", "\n", "\x1b", "\x7f", "\x80", "\x9f"])
@pytest.mark.parametrize("escaped", [True, False])
def test_no_control_character_gets_into_an_identifier(text, escaped):
    raw = json.dumps(envelope(data={**SALE, "sale_id": f"R-{text}"}), ensure_ascii=escaped).encode()
    assert refusal(raw).field == "data.sale_id"


def test_nul_is_refused_even_where_no_model_looks():
    assert refusal(envelope(data={**SALE, "cashier": {"names": ["a", "b\0"]}})).field == "data.cashier.names[1]"
    assert refusal(envelope(**{"note\0": 1})).code == Reason.INVALID_FIELD
    assert read(envelope(note="a backslash, then u0000: \\u0000")).id == "e-1"


def test_invalid_utf8_is_refused_even_where_no_model_looks():
    raw = json.dumps(envelope(note="Café"), ensure_ascii=False).encode("latin-1")
    assert refusal(raw).code == Reason.INVALID_UTF8


def test_free_text_may_have_line_breaks_but_no_other_control_characters():
    consent = {"organization_id": "demo", "customer_id": "c-77", "marketing_consent": True, "wording": "Yes.\r\n\tDo."}
    assert read(envelope("customer.consent_changed", consent)).data.wording == "Yes.\r\n\tDo."
    assert refusal(envelope("customer.consent_changed", {**consent, "wording": "\x07"})).field == "data.wording"


def test_deep_nesting_is_refused_or_ignored_but_never_a_crash():
    deep = b'{"note":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert refusal(deep).code == Reason.INVALID_JSON


@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_escaped_slashes_and_letters_stay_on_the_fast_path(slash):
    raw = json.dumps(envelope(source="/é")).replace("/", slash).encode()
    event = door._by_fast_path(raw, door._ANY)
    assert event is not None
    assert event.source == "/é"


def test_what_no_till_may_say_is_an_unknown_type_to_the_tills_door():
    change = {
        "organization_id": "demo",
        "customer_id": "c-77",
        "segment_id": "vip",
        "segment_name": "VIP",
        "cause": "event",
        "at": NOW.isoformat(),
    }
    raw = json.dumps(envelope("segment.entered", change)).encode()
    assert decode(raw, NOW).type == "segment.entered"
    with pytest.raises(InvalidError) as caught:
        decode_till(raw, NOW)
    assert (caught.value.code, caught.value.field) == (Reason.UNKNOWN_TYPE, "type")
    assert "segment.entered," not in caught.value.message
    assert decode_till(json.dumps(envelope()).encode(), NOW).type == "sale.completed"


def test_every_reason_has_a_sentence():
    assert all(reason.sentence.endswith(".") and reason.value == str(reason) for reason in Reason)

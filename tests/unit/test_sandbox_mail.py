from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.local.sandbox.answer import RefusedError
from services.local.sandbox.mail import accept, mailbox
from services.local.sandbox.message import from_ms, iso, to_ms
from services.local.sandbox.webhook import first_link

GOOD = {"from": "Bakery <hello@bakery.example>", "to": "ann@example.com", "subject": "Bread", "text": "Fresh"}


def mail(**changes):
    return msgspec.json.encode({name: value for name, value in {**GOOD, **changes}.items() if value != "absent"})


def refusal(raw):
    with pytest.raises(RefusedError) as caught:
        accept(raw)
    return caught.value


def test_a_single_recipient_becomes_a_list():
    assert accept(mail()).to == ["ann@example.com"]


@pytest.mark.parametrize("field", ["from", "to", "subject"])
def test_a_missing_field_is_named(field):
    refused = refusal(mail(**{field: "absent"}))
    assert (refused.status, refused.name, refused.message) == (
        422,
        "missing_required_field",
        f"Missing `{field}` field.",
    )


def test_a_mail_without_any_content_is_refused():
    assert refusal(mail(text="")).message == "Missing `html` or `text` field."


@pytest.mark.parametrize("field", ["from", "to", "cc", "bcc", "reply_to"])
@pytest.mark.parametrize(
    "address",
    ["ann", "ann@", "@example.com", "ann@localhost", "ann@example.com, bea@example.com", "Ann <ann>", "a b@c.de"],
)
def test_what_is_no_address_is_refused_with_its_field(field, address):
    refused = refusal(mail(**{field: address}))
    assert (refused.status, refused.name) == (422, "validation_error")
    assert refused.message.startswith(f"Invalid `{field}` field.")


def test_an_endless_address_is_refused_at_once():
    assert refusal(mail(to="a@" + "b." * 500_000)).status == 422


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("subject", 7, "Invalid `subject` field. Expected `string`, got `number`."),
        ("to", ["ann@example.com"] * 51, "The `to` field takes at most 50 addresses."),
        ("subject", "Bread\nBcc: all@example.com", "The `\\n` is not allowed in the `subject` field."),
        ("tags", [{"name": "shop one"}], "Tags should only contain ASCII letters, numbers, underscores, or dashes."),
        ("headers", {"X-Note": "a\r\nBcc: all@example.com"}, "Invalid `headers` field."),
        ("headers", {"X: Note": "a"}, "Invalid `headers` field."),
        ("template", {"id": "t-1"}, "Invalid `template` field. The sandbox keeps no templates: send `html` or `text`."),
    ],
)
def test_what_resend_refuses_is_refused_with_the_reason(field, value, reason):
    refused = refusal(mail(**{field: value}))
    assert refused.status == 422
    assert refused.message.startswith(reason)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"to": "\xff"}', b"\x00"])
def test_what_is_not_json_is_refused_as_such(raw):
    assert refusal(raw).status == 400


def test_null_is_the_same_as_absent():
    assert accept(mail(html=None, cc=None, tags=None, headers=None)).cc is None


def test_recipients_are_bare_addresses_of_all_who_get_it():
    everyone = accept(mail(to=["Ann <Ann@Example.com>"], cc="bea@example.com", bcc=["chen@example.com"])).recipients
    assert everyone == {"ann@example.com", "bea@example.com", "chen@example.com"}


@given(st.text(st.characters(exclude_characters="<>\r\n\x00", exclude_categories=["Cs"]), max_size=40))
def test_any_display_name_is_accepted_and_never_part_of_the_address(name):
    address = f"{name} <Ann@Example.com>"
    assert accept(mail(to=address)).to == [address]
    assert mailbox(address) == "ann@example.com"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_whatever_a_field_holds_is_accepted_or_refused_never_an_accident(value):
    statuses = set()
    for field in ("from", "to", "subject", "html", "headers", "tags", "attachments"):
        try:
            accept(mail(**{field: value}))
        except RefusedError as refused:
            statuses.add(refused.status)
    assert statuses <= {400, 422}


@given(st.integers(0, 250_000_000_000_000), st.timezones())
def test_instants_are_written_in_utc_to_the_millisecond(milliseconds, zone):
    at = from_ms(milliseconds)
    assert iso(at.astimezone(zone)).endswith("Z")
    assert to_ms(datetime.fromisoformat(iso(at))) == milliseconds


def test_the_first_link_is_the_first_one_that_leads_somewhere():
    html = '<a href="#top">x</a><a class="b" href="https://shop.example/?a=1&amp;b=2">y</a><a href="https://z.example">z</a>'
    assert first_link(html) == "https://shop.example/?a=1&b=2"
    assert first_link("<p>none</p>") is None

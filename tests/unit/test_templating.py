from __future__ import annotations

import html
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.templating import (
    VARIABLES,
    check,
    compile_html,
    compile_masked_text,
    compile_text,
    fill,
    fill_line,
    fill_lines,
    mask,
    variables_of,
)
from shared.errors import InvalidError


def test_a_value_takes_the_place_of_its_variable() -> None:
    assert fill(compile_text("Hi {first_name}, {visit_count} visits"), {"first_name": "Asha", "visit_count": "3"}) == (
        "Hi Asha, 3 visits"
    )


@pytest.mark.parametrize("values", [{}, {"first_name": ""}])
def test_who_has_no_value_gets_the_default(values: dict[str, str]) -> None:
    assert fill(compile_text("Hi {first_name|dear friend}!"), values) == "Hi dear friend!"


def test_an_unknown_variable_is_refused_with_the_ones_that_exist() -> None:
    with pytest.raises(InvalidError, match=r"\{fist_name\} is no variable.*\{first_name\}") as refused:
        check("Hi {fist_name}", field="subject")
    assert (refused.value.field, refused.value.code) == ("subject", "unknown_variable")


@pytest.mark.parametrize("text", ["{first name}", "{ }", "{FIRST_NAME}", "{first_name|a}{x|}", "{customer.name}"])
def test_what_looks_like_a_variable_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no variable"):
        check(text)


@pytest.mark.parametrize("name", ["coupon_code", "discount_value", "coupon_expiry"])
def test_a_coupon_variable_needs_a_coupon(name: str) -> None:
    check(f"Take {{{name}}}", has_coupon=True)
    with pytest.raises(InvalidError, match="needs a coupon"):
        check(f"Take {{{name}}}")


def test_every_variable_that_is_promised_passes() -> None:
    check(" ".join(f"{{{name}}} {{ {name} | x}}" for name in VARIABLES), has_coupon=True)


def test_a_style_sheet_is_no_variable() -> None:
    css = "<style>a{color:red} @media print{p{margin:0;top:1px}}</style>"
    assert variables_of(css) == []
    assert fill(compile_text(css), {}) == css


def test_variables_are_named_once_in_order() -> None:
    assert variables_of("{visit_count} {first_name|x} {visit_count|0}") == ["visit_count", "first_name"]


@given(st.text())
def test_a_value_is_escaped_in_html_and_left_alone_in_text(value: str) -> None:
    masked, slots = mask("{customer_name|x}")
    expected = value or "x"
    assert fill(compile_html(masked, slots), {"customer_name": value}) == html.escape(expected)
    assert fill(compile_masked_text(masked, slots), {"customer_name": value}) == expected


@given(st.text())
def test_a_value_inside_an_address_stays_a_piece_of_it(value: str) -> None:
    masked, slots = mask('<a href="https://shop.example/?who={customer_name}&x=1">{customer_name}</a>')
    assert fill(compile_html(masked, slots), {"customer_name": value}) == (
        f'<a href="https://shop.example/?who={quote(value, safe="")}&x=1">{html.escape(value)}</a>'
    )


def test_a_name_can_not_become_a_link_of_its_own() -> None:
    masked, slots = mask('<a href="{customer_name}">x</a>')
    assert "javascript:" not in fill(compile_html(masked, slots), {"customer_name": "javascript:alert(1)"})


def test_our_own_addresses_are_whole_links() -> None:
    masked, slots = mask('<a href="{unsubscribe_url}">x</a>')
    filled = fill(compile_html(masked, slots), {"unsubscribe_url": "https://r.example/u/a.b?x=1&y=2"})
    assert filled == '<a href="https://r.example/u/a.b?x=1&amp;y=2">x</a>'


@given(st.text())
def test_a_subject_stays_on_one_line(value: str) -> None:
    line = fill_line(compile_text("Hi {first_name}!"), {"first_name": value})
    assert line.isprintable()
    assert len(line.splitlines()) == 1


@given(
    st.sampled_from(
        ["Hi {first_name}!", "{first_name|you}", "{first_name} {last|a  b}", "plain ", "", "https://x/{first_name}"]
    ),
    st.lists(st.text(max_size=5) | st.sampled_from(["", "Asha", " a", "a\nb", "a  b"]), min_size=1, max_size=5),
)
def test_many_subjects_are_each_as_one_alone(subject: str, names: list[str]) -> None:
    parts = compile_text(subject)
    alone = [fill_line(parts, {"first_name": name}) for name in names]
    assert fill_lines(parts, {"first_name": names}, len(names)) == alone


def test_a_value_that_looks_like_a_variable_is_not_filled_again() -> None:
    assert fill(compile_text("{first_name}"), {"first_name": "{coupon_code}", "coupon_code": "SECRET"}) == (
        "{coupon_code}"
    )


@given(st.text(max_size=30))
def test_text_without_variables_stays_as_it_is(text: str) -> None:
    if not variables_of(text):
        assert fill(compile_text(text), {}) == text


def test_a_broken_variable_is_refused_with_its_place_and_the_remedy() -> None:
    for text, said in (
        ("Hi\n  {first_name, hello", r"line 2, column 3: '\{first_name' is not closed: put \}"),
        ("Hi {{first_name}}", r"column 4: \{\{ begins no variable.*single braces, as in \{first_name\}"),
        ("Hi {first_name|there", r"column 4: .* is not closed"),
        ("Hi {Firstname}", r"column 4: .*did you mean \{first_name\}\?"),
        ("a\nb\nSee {coupon_code}", r"line 3, column 5: .*needs a coupon"),
    ):
        with pytest.raises(InvalidError, match=said) as refused:
            check(text, field="body")
        assert refused.value.field == "body"


@pytest.mark.parametrize(
    "text", ["a { b", "{", "1 {2} 3"[:3], "x { : y", "<style>a{color:red} .b{ }</style>{first_name}"]
)
def test_other_braces_pass(text: str) -> None:
    check(text)


def test_a_style_sheet_keeps_its_braces() -> None:
    css = "<style>.b{ } .c{x}</style>"
    assert fill(compile_html(*mask(css + "{first_name}")), {"first_name": "A"}) == css + "A"

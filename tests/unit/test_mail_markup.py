from __future__ import annotations

import pytest

from shared.errors import InvalidError
from shared.mail.content import Wording, compiled
from shared.mail.markup import check_html


def html_of(body: str, body_format: str = "html", **values: str) -> str:
    """The card of a mail with such a body."""
    wording = Wording(
        sender="Acme <a@x.example>",
        organization_name="Acme",
        postal_address="",
        subject="s",
        preview_text="",
        body=body,
        body_format=body_format,
    )
    html = compiled(wording).filled({"unsubscribe_url": "https://r.example/u", "preferences_url": "p", **values}).html
    return html.partition('class="card"')[2].partition("</td>")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<p>Hello\n  <b>you</p>", "line 2, column 3: <b> is not closed before </p> at line 2, column 9: put </b>"),
        ("<div>\n<p>Hi", "line 1, column 1: <div> is never closed: put </div>"),
        ("Hi</div>", "column 3: </div> closes nothing"),
        ('Hi <a href="x', "column 4: this tag does not end"),
        ('<a href="x>one</a> and <a href="y">two</a>', "column 1: <a> does not end: a quote or > is missing"),
        ('<p style="color:{first_name}">x</p>', "column 1: a variable of <p> stands where"),
        ("<p {first_name}>x</p>", "column 1: a variable of <p>"),
    ],
)
def test_broken_html_is_refused_with_its_place_and_the_remedy(text: str, said: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_html(text, "body")
    assert refused.value.message.startswith(said)
    assert refused.value.field == "body"


@pytest.mark.parametrize(
    "text",
    [
        "Hi <br> there<br/><img src='x'>",
        "<ul><li>a<li>b</ul><table><tr><td>x<tr><td>y</table>",
        "<!doctype html><html><head><style>a > b{color:red}</style></head><body><p>x</body></html>",
        '1 < 2 & 3 <a href="{unsubscribe_url}">u</a>',
        "",
    ],
)
def test_html_that_browsers_take_passes(text: str) -> None:
    check_html(text)


def test_what_runs_is_taken_out_and_what_shows_stays() -> None:
    card = html_of(
        "<html><head><title>T</title><style>.x{color:red}</style></head><body onload='a()'><div class='x' onclick='b()'>"
        "Hi {first_name}<script>c()</script><a href='javascript:d()'>x</a><iframe src='e'></iframe>"
        "<form action='f'><input></form><a href='{unsubscribe_url}'>u</a></div></body></html>",
        first_name="<i>",
    )
    assert '<div class="x" style="color: red;">Hi &lt;i&gt;' in card
    for gone in ("T<", "script", "onclick", "onload", "javascript", "iframe", "form", "input"):
        assert gone not in card, gone
    assert 'href="https://r.example/u"' in card


def test_a_bold_link_alone_is_a_button_and_a_bold_coupon_code_alone_stands_in_a_box() -> None:
    card = html_of(
        "**[Come](https://x.example/?c={first_name})**\n\n**{coupon_code}**\n\nAnd **{coupon_code}** too.",
        "markdown",
        first_name="Zoë",
        coupon_code="WELCOME10",
    )
    assert 'class="button" href="https://x.example/?c=Zo%C3%AB"' in card
    assert card.count('<p class="code"') == 1
    assert "And <strong>WELCOME10</strong> too" in card
    assert "#0f766e" in card  # the style sheet is in the elements

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.mailer.batches import Letters, letters_of
from services.mailer.content import Writer
from services.mailer.provider import Mail
from shared.database.campaigns import mailbox
from shared.mail.content import Wording, compiled, from_json
from shared.mail.plain_text import plain_text

WRITER = Writer("s3cret", "https://r.example/")
MESSAGE = "0b9d9c1e-0000-4000-8000-000000000001"
WORDING = Wording(
    sender="Acme <hello@acme.example>",
    organization_name="Acme & Sons",
    postal_address="1 Long Road\n<Pune>",
    subject="{first_name|Friend}, 20% off",
    preview_text="Only for {customer_name|you}",
    body="# Hi {first_name|there}\n\nSee [the *shop*](https://shop.example/{first_name}) "
    "or [leave]({unsubscribe_url}).\n\n<script>alert(1)</script>",
    body_format="markdown",
)


def written(wording: Wording = WORDING, **variables: str) -> Mail:
    (mail,) = WRITER.mails(compiled(wording), "acme", letter(variables))
    return mail


def letter(variables: dict[str, str]) -> Letters:
    columns = {name: [value] for name, value in variables.items()}
    return Letters([MESSAGE], ["c-1"], ["a@example.com"], columns, [None])


def test_the_same_content_and_values_give_the_same_bytes_after_a_round_through_the_database() -> None:
    stored = from_json(compiled(WORDING).as_json())
    variables = {"first_name": "Zoë", "customer_name": "Zoë B"}
    letters = letters_of(msgspec.json.encode(letter(variables)))
    assert list(WRITER.mails(stored, "acme", letters)) == [written(**variables)]
    assert stored.content_id == compiled(WORDING).content_id


def test_markdown_becomes_html_and_raw_html_in_it_stays_text() -> None:
    html = written(first_name="Zoë").html
    assert re.search(r"<h1 style=.*>Hi Zoë</h1>", html)
    assert "<em>shop</em>" in html
    assert "<script>" not in html


def test_the_text_part_says_the_same_with_addresses() -> None:
    text = written(first_name="Zoë").text
    assert "Hi Zoë" in text
    assert "the shop (https://shop.example/Zo%C3%AB)" in text
    assert "1 Long Road\n<Pune>" in text
    assert "Unsubscribe: https://r.example/u/" in text


def test_the_organizations_own_words_are_escaped_in_html() -> None:
    html = written().html
    assert "Acme &amp; Sons" in html
    assert "&lt;Pune&gt;" in html


def test_only_variables_that_are_used_are_asked_for() -> None:
    assert compiled(WORDING).variables == {"first_name", "customer_name"}


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, frozenset[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, frozenset(name for name, _ in attrs)))


@given(
    st.text()
    | st.sampled_from(['"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{coupon_code}", "\r\nBcc: x"])
)
def test_no_name_changes_the_structure_of_a_mail(name: str) -> None:
    plain, hostile = written(first_name="Ann", customer_name="Ann"), written(first_name=name, customer_name=name)
    assert Tags(hostile.html).found == Tags(plain.html).found
    assert hostile.subject.isprintable()
    assert hostile.headers == plain.headers


def test_plain_text_keeps_lists_breaks_and_leaves_out_styles() -> None:
    html = "<style>p{color:red}</style><p>One<br>two</p><ul><li>a</li><li><a href='https://x.example'>b</a></li></ul>"
    assert plain_text(html) == "One\ntwo\n\n- a\n- b (https://x.example)"


def test_a_sender_name_cannot_break_out_of_its_header() -> None:
    assert mailbox("Acme", "a@x.example") == "Acme <a@x.example>"
    assert mailbox('Evil" <b@y.example>\r\n', "a@x.example") == '"Evil b@y.example" <a@x.example>'
    assert mailbox("Smith, Jones & Co.", "a@x.example") == '"Smith, Jones & Co." <a@x.example>'
    assert mailbox("", "a@x.example") == "a@x.example"

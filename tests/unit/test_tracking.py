"""Tracked links and the pixel in a campaign's mail."""

from __future__ import annotations

import re

import msgspec

from services.mailer.batches import Letters
from services.mailer.content import Writer
from services.mailer.provider import Mail
from shared.domain.links import read_link
from shared.mail.content import Content, Wording, compiled

MESSAGE = "0b9d9c1e-0000-4000-8000-000000000001"
WORDING = Wording(
    sender="Acme <hello@acme.example>",
    organization_name="Acme",
    postal_address="1 Long Road",
    subject="Hi",
    preview_text="",
    body='<p><a class="b" href="https://shop.example/?a=1&amp;b=2">Shop</a> <a href=\'https://shop.example/x\'>x</a> '
    '<a href="https://shop.example/x">again</a> <a href="https://shop.example/?n={first_name}">yours</a> '
    '<a href="https://{first_name}.example/">host</a> <a href="mailto:a@acme.example">write</a> '
    '<a href="{unsubscribe_url}">leave</a> <a href="#top">up</a></p>',
    body_format="html",
    tracked=True,
)


def written(wording: Wording = WORDING) -> tuple[Content, Mail]:
    content = compiled(wording)
    letters = Letters([MESSAGE], ["c-1"], ["a@example.com"], {"first_name": ["Asha"]}, [None])
    return content, Writer("s3cret", "https://r.example/").mails(content, "acme", letters)[0]


def test_links_lead_over_us_and_only_to_what_the_mail_held() -> None:
    content, mail = written()
    assert content.links == ["https://shop.example/?a=1&b=2", "https://shop.example/x"]
    tracked = re.findall(r'href="https://r\.example/c/([^"/]+)/(\d+)"', mail.html)
    assert [number for _, number in tracked] == ["0", "1", "1"]
    assert {read_link("s3cret", "track", token) for token, _ in tracked} == {("acme", MESSAGE)}
    assert len(max(re.findall(r'https://r\.example/c/[^"]+', mail.html))) < 75
    assert content.variables == {"first_name"}


def test_what_is_the_customers_own_or_no_web_address_stays_as_it_is() -> None:
    _, mail = written()
    for kept in (
        'href="https://shop.example/?n=Asha"',
        'href="https://Asha.example/"',
        'href="mailto:a@acme.example"',
        'href="#top"',
    ):
        assert kept in mail.html
    assert not re.search(r"/c/[^\"]*(unsub|/u/)", mail.html)
    assert "https://r.example/u/" in mail.html
    assert "https://r.example/p/" in mail.html


def test_the_text_part_keeps_the_addresses() -> None:
    _, mail = written()
    assert "https://shop.example/?a=1&b=2" in mail.text
    assert "/c/" not in mail.text


def test_a_pixel_ends_the_mail_and_speaks_for_it() -> None:
    _, mail = written()
    (token,) = re.findall(r'<img src="https://r\.example/o/([^"]+)" width="1" height="1" alt=""', mail.html)
    assert read_link("s3cret", "track", token) == ("acme", MESSAGE)
    assert re.search(r"border:0\">\s*</body>\s*</html>\s*$", mail.html)


def test_nothing_is_tracked_unless_asked_for() -> None:
    content, mail = written(msgspec.structs.replace(WORDING, tracked=False))
    assert content.links == []
    assert "/c/" not in mail.html
    assert "/o/" not in mail.html

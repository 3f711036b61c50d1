"""A mail filled into its campaign's frame is the same mail as one written by itself: as JSON for Resend, as MIME for SMTP."""

from __future__ import annotations

import email
import email.policy
import json
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mailer.batches import Letters
from services.mailer.content import Writer
from services.mailer.mime import written
from services.mailer.mime_frame import LONGEST_LINE, framed
from services.mailer.provider import Mail, Mails, form_of
from services.mailer.resend_provider import body_of
from shared.domain.templating import Parts, Slot
from shared.mail.content import Wording, compiled

MESSAGE = "0b9d9c1e-0000-4000-8000-000000000001"
NAMES = ("first_name", "total_spent")
WRITER = Writer("s3cret", "https://r.example")
LITERALS = st.sampled_from(
    ["Hello ", "\n", ".", "\r\n", "\n.hidden", "100 %", "%b%(x)s", "<p>", '"quoted\\', "₹", "long " * 150, "\r", ""]
)
VALUES = st.text(max_size=40) | st.sampled_from(["", ".", "..x", "Zoë", '<b>"&\\', "a\nb", "x" * 400, "%s", "\x85"])


@st.composite
def texts(draw: st.DrawFn, context: str) -> Parts:
    """Texts and slots in turn, as templates are compiled."""
    parts: list[str | Slot] = []
    for _ in range(draw(st.integers(1, 5))):
        literal = draw(LITERALS)
        parts += [literal] if literal else []
        parts.append(Slot(draw(st.sampled_from(NAMES)), draw(st.sampled_from(["", "friend"])), context))  # type: ignore[arg-type]
    return (*parts, draw(LITERALS) or "\n")


@st.composite
def mails(draw: st.DrawFn) -> Mail:
    headers = (("X-Regulars-Message", (Slot("message_id", "", "text"),)),)
    form = form_of("acme", "Acme Café <hello@acme.example>", draw(texts("html")), draw(texts("text")), headers)
    values = {name: draw(VALUES) for name in NAMES}
    return Mail(form, {"message_id": MESSAGE, "to": "a@example.com", "subject": "For you", **values})


@st.composite
def batches(draw: st.DrawFn) -> Mails:
    """Mails of one form, each with its own values."""
    first, number = draw(mails()), draw(st.integers(1, 12))
    others = [first.values | {name: draw(VALUES) for name in NAMES} for _ in range(number - 1)]
    return Mails.of(first, *[Mail(first.form, values) for values in others])


def arrived(octets: bytes) -> tuple[EmailMessage, list[str]]:
    """The mail as a server keeps it (RFC 5321, 4.5.2), and its parts' texts with \\n between lines."""
    assert octets.endswith(b"\r\n.\r\n")
    lines = octets.removesuffix(b".\r\n").split(b"\r\n")
    assert b"." not in lines
    assert max(map(len, lines)) <= LONGEST_LINE
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    kept = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    mail = email.message_from_bytes(kept, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail, [unix(part.get_content()) for part in mail.iter_parts()]


def unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(batches(), st.booleans())
def test_a_framed_mail_arrives_as_one_written_by_itself(mails: Mails, eight_bit: bool) -> None:
    texts = written(mails, "Tue, 24 Nov 2026 10:00:00 GMT", eight_bit=eight_bit)
    for octets, mail in zip(texts, mails, strict=True):
        found, parts = arrived(octets)
        assert eight_bit or octets.isascii()
        assert (found["To"], found["Subject"], found["X-Regulars-Message"]) == ("a@example.com", "For you", MESSAGE)
        assert found["Message-ID"] == f"<{MESSAGE}@acme.example>"
        sayable = [text.encode("utf-8", "replace").decode() for text in (mail.text, mail.html)]
        assert parts == [unix(text) for text in sayable]


@given(batches())
def test_a_batch_for_resend_is_its_mails_fields_as_json(mails: Mails) -> None:
    assert json.loads(b"".join(body_of(mails))) == [
        {
            "from": mail.form.sender,
            "to": [mail.to],
            "subject": mail.subject,
            "html": mail.html,
            "text": mail.text,
            "headers": mail.headers,
            "tags": [{"name": name, "value": value} for name, value in mail.tags.items()],
        }
        for mail in mails
    ]


@pytest.mark.parametrize(("name", "fits"), [("Asha", True), ("Zoë", True), ("", True), ("x" * 400, False)])
def test_an_ordinary_campaign_fits_into_its_frame(name: str, fits: bool) -> None:
    wording = Wording(
        sender="Acme <hello@acme.example>",
        organization_name="Acme",
        postal_address="1 Long Road\nPune",
        subject="For you, {first_name|friend}",
        preview_text="",
        body="Hello **{first_name|friend}**, you spent {total_spent}.\n\n[Shop](https://shop.example)",
        body_format="markdown",
        tracked=True,
    )
    letters = Letters([MESSAGE], ["c-1"], ["a@example.com"], {"first_name": [name], "total_spent": ["₹90.00"]}, [None])
    (text,) = framed(WRITER.mails(compiled(wording), "acme", letters), "now", eight_bit=True)
    assert (text is not None) == fits

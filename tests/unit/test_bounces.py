"""What bounced mails report, as some servers write them."""

from __future__ import annotations

import pytest

from shared.domain.bounces import read_bounce, read_bounce_token
from tests.bounced import TOKEN, report

LINK = "acme." + "A" * 43


@pytest.mark.parametrize(
    ("status", "diagnosis", "hard"),
    [
        ("5.1.1", "smtp; 550 5.1.1 no such user", True),
        ("5.0.0", "smtp; 550 no such user here", True),
        ("5.2.1", "smtp; 550 mailbox disabled", True),
        ("5.0.0", "smtp; 552 5.2.2 mailbox full", False),
        ("5.7.1", "smtp; 554 5.7.1 looks like spam", False),
        ("5.4.4", "dns; host not found", False),
        ("4.4.1", "smtp; connection timed out, given up after five days", False),
        ("", "", False),
    ],
)
def test_only_an_address_that_takes_no_mail_is_a_hard_bounce(status: str, diagnosis: str, hard: bool) -> None:
    bounce = read_bounce(report(status, diagnosis))
    assert bounce is not None
    assert (bounce.token, bounce.hard) == (TOKEN, hard)
    assert diagnosis in bounce.why


def test_what_reports_no_failed_delivery_is_none() -> None:
    holiday = (
        b"To: hello@acme.example\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday.\r\n"
    )
    for raw in (report(action="delayed"), report(action="relayed"), holiday, b"", b"\xff\x00\n\n--", b"a" * 100_000):
        assert read_bounce(raw) is None


def test_a_token_is_found_in_capitals_and_in_the_mail_that_came_back() -> None:
    loud = read_bounce(report(to=f"BOUNCES+{TOKEN.upper()}@ACME.EXAMPLE"))
    assert loud is not None
    assert loud.token == TOKEN
    inside = read_bounce(report(to="root@acme.example", returned=f"Return-Path: <bounces+{TOKEN}@acme.example>\n"))
    assert inside is not None
    assert inside.token == TOKEN
    assert read_bounce_token("s3cret", TOKEN, ["other", "acme"]) is not None


def test_without_a_return_path_the_unsubscribe_link_names_the_mail() -> None:
    folded = f"List-Unsubscribe:\n <https://r.example/u/{LINK}>\n"
    bounce = read_bounce(report(to="hello@acme.example", returned=folded))
    assert bounce is not None
    assert (bounce.token, bounce.link) == (None, LINK)


def test_what_a_server_says_is_kept_printable_and_short() -> None:
    bounce = read_bounce(report(diagnosis="smtp; 550 5.1.1 a\x07b " + "x" * 5_000))
    assert bounce is not None
    assert bounce.why.isprintable()
    assert len(bounce.why) == 500

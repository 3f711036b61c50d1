"""SMTP against a real small server: each way in which a mail can end, and what it looks like when it arrives."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from services.local import ports
from services.mailer import smtp_line
from services.mailer.provider import Accepted, Halted, Mail, Mails, Outcome, Retry, form_of
from services.mailer.smtp_line import server_of
from services.mailer.smtp_provider import SmtpProvider, signed_return_path, to_sender
from shared.domain.bounces import read_bounce_token
from shared.domain.templating import Parts
from shared.errors import SetupError
from tests.smtp_sink import SmtpSink, smtp_sink


@pytest.fixture(params=[("PIPELINING", "8BITMIME"), ("SIZE",)], ids=["pipelining", "plain"])
def inbox(request: pytest.FixtureRequest) -> Iterator[SmtpSink]:
    with smtp_sink(extensions=request.param) as running:
        yield running


def sent(inbox: SmtpSink, mails: Sequence[Mail], connections: int = 3, **given: Any) -> Outcome:
    provider = SmtpProvider(server_of(inbox.url, "off"), connections, given.pop("return_path", to_sender))
    try:
        return provider.send_batch(Mails.of(*mails), "key", **given)
    finally:
        provider.close()


def mail(
    to: str,
    subject: str = "Hello",
    html: Parts = ("<p>Hi</p>",),
    text: Parts = ("Hi",),
    headers: tuple[tuple[str, Parts], ...] = (("List-Unsubscribe", ("<https://r.example/u/x>",)),),
    **values: str,
) -> Mail:
    message_id = str(uuid.uuid5(uuid.NAMESPACE_URL, to))
    sender = "Acme Café <hello@acme.example>"
    form = form_of("acme", sender, html, text, headers)
    return Mail(form, {"message_id": message_id, "to": to, "subject": subject, **values})


def test_every_mail_of_a_batch_arrives_once_over_some_connections(inbox: SmtpSink) -> None:
    noted: list[int] = []
    mails = [mail(f"c{n}@example.com") for n in range(25)]
    outcome = sent(inbox, mails, taken=lambda positions: noted.extend(positions) is None)
    assert isinstance(outcome, Accepted)
    assert (sorted(outcome.ids), outcome.refused, outcome.again) == (list(range(25)), {}, {})
    assert sorted(inbox.recipients()) == sorted(each.to for each in mails)
    assert sorted(noted) == list(range(25))
    assert inbox.connections == 3


def test_a_mail_arrives_as_it_was_written(inbox: SmtpSink) -> None:
    html = "<p>Zoë</p>\n" + "<b>x</b>" * 400
    text = ".\n..two\nplain \n" + "long " * 300
    headers = (("X-Injected", ("a\r\nBcc: everybody@example.com",)),)
    subject = "Für dich, Zoë:" + " ein sehr langer Betreff" * 5
    one = mail("zoe@example.com", subject=subject, html=(html,), text=(text,), headers=headers)
    sent(inbox, [one])
    (kept,) = inbox.mails
    found = kept.parsed
    assert found["Subject"] == subject
    assert (found["From"], found["To"], found["Bcc"]) == ("Acme Café <hello@acme.example>", "zoe@example.com", None)
    assert found["Message-ID"] == f"<{one.message_id}@acme.example>"
    assert found["Date"].datetime is not None
    plain, rich = found.iter_parts()
    assert plain.get_content().replace("\r\n", "\n") == text
    assert rich.get_content().replace("\r\n", "\n") == html
    assert kept.sender == "hello@acme.example"


def test_other_letters_go_as_they_are_where_the_server_takes_them(inbox: SmtpSink) -> None:
    sent(inbox, [mail("zoe@example.com", html=("<p>Zoë</p>",), text=("₹90",))])
    (kept,) = inbox.mails
    assert [part.get_content().strip() for part in kept.parsed.iter_parts()] == ["₹90", "<p>Zoë</p>"]
    assert ("₹90".encode() in kept.raw) == ("8BITMIME" in inbox.extensions)


def test_who_does_not_exist_is_refused_and_who_cannot_now_is_tried_again(inbox: SmtpSink) -> None:
    mails = [mail(f"{name}@example.com") for name in ("a", "gone-1", "full-1", "b", "grey-1", "gone-2", "c")]
    outcome = sent(inbox, [*mails, mail("böse@example.com"), mail("two@x.example>\r\nRCPT TO:<b@x.example")])
    assert isinstance(outcome, Accepted)
    assert sorted(outcome.ids) == [0, 3, 6]
    assert sorted(outcome.refused) == [1, 5, 7, 8]
    assert outcome.refused[1] == "550 5.1.1 no such user"
    assert outcome.again == {2: "452 4.2.2 mailbox full", 4: "451 4.7.1 come again"}
    assert sorted(inbox.recipients()) == ["a@example.com", "b@example.com", "c@example.com"]


def test_only_the_mail_whose_answer_was_cut_is_in_doubt(inbox: SmtpSink) -> None:
    inbox.cuts = 1
    mails = [mail(f"c{n}@example.com") for n in range(12)]
    outcome = sent(inbox, mails)
    assert isinstance(outcome, Accepted)
    assert (len(outcome.ids), len(outcome.again)) == (11, 1)
    ((doubtful, why),) = outcome.again.items()
    assert why is not None
    assert "cut before the answer" in why
    again = sent(inbox, [mails[doubtful]])
    assert isinstance(again, Accepted)
    ids = [kept.parsed["Message-ID"] for kept in inbox.mails if kept.to == mails[doubtful].to]
    assert ids == [f"<{mails[doubtful].message_id}@acme.example>"] * 2


def test_a_server_that_falls_silent_is_left(inbox: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_line, "TIMEOUT", 0.3)
    done = threading.Event()
    inbox.on_mail = lambda _: done.wait(30) and None
    outcome = sent(inbox, [mail("a@example.com")])
    done.set()
    assert isinstance(outcome, Retry)


def test_it_stops_where_it_is_told_and_gives_the_rest_back(inbox: SmtpSink) -> None:
    outcome = sent(inbox, [mail(f"c{n}@example.com") for n in range(30)], taken=lambda _: False)
    assert isinstance(outcome, Accepted)
    assert (len(outcome.ids), len(inbox.mails)) == (3, 3)
    assert set(outcome.again.values()) == {None}
    assert sorted([*outcome.ids, *outcome.again]) == list(range(30))


def test_a_server_that_wants_nothing_from_this_sender_halts_the_campaign(inbox: SmtpSink) -> None:
    inbox.refuse_sender = "553 5.7.1 not your domain"
    assert sent(inbox, [mail("a@example.com"), mail("b@example.com")]) == Halted("553 5.7.1 not your domain")


def test_a_server_that_is_busy_for_everybody_is_called_again_later(inbox: SmtpSink) -> None:
    assert isinstance(sent(inbox, [mail("grey-1@example.com"), mail("full-1@example.com")]), Accepted)
    outcome = sent(inbox, [mail(f"grey-{n}@example.com") for n in range(10)])
    assert outcome == Retry("451 4.7.1 come again", in_doubt=False)


def test_a_server_that_is_not_there_took_nothing() -> None:
    provider = SmtpProvider(server_of(f"smtp://127.0.0.1:{ports.free()}", "off"), 2)
    outcome = provider.send_batch(Mails.of(mail("a@example.com")), "key")
    assert isinstance(outcome, Retry)
    assert "refused" in outcome.why


def test_without_the_encryption_that_is_asked_for_nothing_goes(inbox: SmtpSink) -> None:
    provider = SmtpProvider(server_of(inbox.url, "required"), 2)
    outcome = provider.send_batch(Mails.of(mail("a@example.com")), "key")
    assert isinstance(outcome, Halted)
    assert "STARTTLS" in outcome.why
    assert inbox.mails == []


def test_connections_are_kept_and_one_that_ended_is_opened_again(inbox: SmtpSink) -> None:
    provider = SmtpProvider(server_of(inbox.url, "off"), 2)
    mails = [mail("a@example.com"), mail("b@example.com")]
    for _ in range(3):
        assert isinstance(provider.send_batch(Mails.of(*mails), "key"), Accepted)
    assert inbox.connections == 2
    inbox.cuts = 2
    assert isinstance(provider.send_batch(Mails.of(*mails), "key"), Retry)
    assert isinstance(provider.send_batch(Mails.of(*mails), "key"), Accepted)
    assert inbox.connections == 4
    provider.close()


def test_bounces_name_the_message_where_there_is_a_return_path(inbox: SmtpSink) -> None:
    one = mail("a@example.com")
    sent(inbox, [one], return_path=signed_return_path("bounces@acme.example", "s3cret"))
    local, _, domain = inbox.mails[0].sender.partition("@")
    name, _, token = local.partition("+")
    assert (name, domain, len(local) <= 64) == ("bounces", "acme.example", True)
    signed = uuid.UUID(one.message_id)
    assert read_bounce_token("s3cret", token.upper(), ["other", "acme"]) == ("acme", signed)
    assert read_bounce_token("s3cret", token, ["other"]) is None
    assert read_bounce_token("another", token, ["acme"]) is None


@pytest.mark.parametrize("url", ["", "http://x", "mail.example:25"])
def test_an_address_that_is_none_says_what_it_must_look_like(url: str) -> None:
    with pytest.raises(SetupError, match="smtp://user:password@host"):
        server_of(url, "off")

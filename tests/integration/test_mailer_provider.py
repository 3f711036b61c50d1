"""Resend's SDK against the sandbox: each way in which a call can end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import resend
from resend.exceptions import ResendError

from services.local import ports
from services.mailer.provider import Accepted, Halted, Mail, Mails, Retry, form_of
from services.mailer.resend_provider import ResendProvider
from tests.mailing import Sandbox, sandbox


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def provider(inbox: Sandbox) -> Iterator[ResendProvider]:
    made = ResendProvider("key", inbox.url)
    yield made
    made.close()


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())


def mail(to: str, subject: str = "Hello") -> Mail:
    headers = (("List-Unsubscribe", ("<https://r.example/u/x>",)),)
    form = form_of("acme", "Acme <hello@acme.example>", ("<p>Hi</p>",), ("Hi",), headers)
    return Mail(form, {"message_id": "m-1", "to": to, "subject": subject})


def arrived(inbox: Sandbox, to: str) -> int:
    return sum(to in each["to"] for each in inbox.mails())


def test_the_same_key_sends_once_and_gives_the_same_ids(provider: ResendProvider, inbox: Sandbox, key: str) -> None:
    mails = Mails.of(mail("once-a@example.com"), mail("once-b@example.com"))
    first = provider.send_batch(mails, key)
    assert isinstance(first, Accepted)
    assert sorted(first.ids) == [0, 1]
    assert provider.send_batch(mails, key) == first
    assert arrived(inbox, "once-a@example.com") == 1


def test_one_bad_address_does_not_hold_up_the_others(provider: ResendProvider, inbox: Sandbox, key: str) -> None:
    outcome = provider.send_batch(
        Mails.of(mail("good-a@example.com"), mail("nonsense"), mail("good-b@example.com")), key
    )
    assert isinstance(outcome, Accepted)
    assert sorted(outcome.ids) == [0, 2]
    assert list(outcome.refused) == [1]
    by_id = {each["id"]: each["to"] for each in inbox.mails()}
    assert [by_id[outcome.ids[n]] for n in (0, 2)] == [["good-a@example.com"], ["good-b@example.com"]]


def test_too_many_requests_were_surely_not_taken_and_say_when_to_come_again(
    provider: ResendProvider, inbox: Sandbox, key: str
) -> None:
    inbox.fault("429")
    outcome = provider.send_batch(Mails.of(mail("limited@example.com")), key)
    assert isinstance(outcome, Retry)
    assert (outcome.in_doubt, outcome.after) == (False, 1.0)
    assert arrived(inbox, "limited@example.com") == 0


def test_a_server_error_leaves_doubt(provider: ResendProvider, inbox: Sandbox, key: str) -> None:
    inbox.fault("500")
    outcome = provider.send_batch(Mails.of(mail("error@example.com")), key)
    assert isinstance(outcome, Retry)
    assert outcome.in_doubt


def test_a_cut_line_leaves_doubt_and_the_second_call_settles_it(
    provider: ResendProvider, inbox: Sandbox, key: str
) -> None:
    inbox.fault("drop_after_accept")
    mails = Mails.of(mail("cut@example.com"))
    outcome = provider.send_batch(mails, key)
    assert isinstance(outcome, Retry)
    assert outcome.in_doubt
    assert isinstance(provider.send_batch(mails, key), Accepted)
    assert arrived(inbox, "cut@example.com") == 1


def test_a_key_used_for_other_bytes_counts_as_taken(provider: ResendProvider, inbox: Sandbox, key: str) -> None:
    provider.send_batch(Mails.of(mail("first@example.com", "one")), key)
    assert provider.send_batch(Mails.of(mail("first@example.com", "two")), key) == Accepted({})
    assert arrived(inbox, "first@example.com") == 1


def test_a_provider_that_is_not_there_surely_took_nothing(key: str) -> None:
    absent = ResendProvider("key", f"http://127.0.0.1:{ports.free()}")
    outcome = absent.send_batch(Mails.of(mail("a@example.com")), key)
    absent.close()
    assert isinstance(outcome, Retry)
    assert not outcome.in_doubt


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "missing_api_key"), (403, "invalid_api_key"), (403, "validation_error"), (429, "daily_quota_exceeded")],
)
def test_what_nobody_but_a_person_can_mend_halts(
    provider: ResendProvider, key: str, monkeypatch: pytest.MonkeyPatch, status: int, kind: str
) -> None:
    def refuse(*_: object) -> None:
        raise ResendError(code=status, error_type=kind, message="The domain is not verified.", suggested_action="")

    monkeypatch.setattr(resend.Batch, "send", refuse)
    assert provider.send_batch(Mails.of(mail("a@example.com")), key) == Halted(
        f"{status} {kind}: The domain is not verified."
    )

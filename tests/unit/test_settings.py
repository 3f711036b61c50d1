from __future__ import annotations

import pytest

from shared.errors import SetupError
from shared.settings import MailerSettings, load


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("REGULARS_KAFKA", "kafka", "host:port"),
        ("REGULARS_KAFKA", "kafka:9092,", "host:port"),
        ("REGULARS_DATABASE", "localhost/regulars", "postgresql://user:password@host/name"),
        ("REGULARS_PUBLIC_URL", "r.example", "http:// or https://"),
        ("REGULARS_SANDBOX_URL", "127.0.0.1:8030", "http:// or https://"),
        ("REGULARS_SENDERS", "many", "must be a whole number"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it_and_what_it_must_be(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SetupError) as caught:
        load(MailerSettings)
    message = str(caught.value)
    assert message.startswith(f"Setting {variable} is wrong: ")
    assert told in message
    assert "\n" not in message


def test_several_brokers_and_an_address_of_the_new_protocol_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_KAFKA", "kafka-0.example:9092,[::1]:9092")
    assert load(MailerSettings).kafka == "kafka-0.example:9092,[::1]:9092"


def test_a_wrong_address_of_the_database_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_DATABASE", "mysql://me:hunter2@host/name")
    with pytest.raises(SetupError) as caught:
        load(MailerSettings)
    assert "hunter2" not in str(caught.value)


def test_the_sandbox_needs_no_sender_address_and_a_real_provider_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESEND_FROM_EMAIL", raising=False)
    assert load(MailerSettings).from_email == "hello@sandbox.example"
    assert load(MailerSettings, mail_provider="resend").from_email == ""
    monkeypatch.setenv("RESEND_FROM_EMAIL", "shop@shop.example")
    assert load(MailerSettings).from_email == "shop@shop.example"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.links import Purpose, read_link, sign_all, sign_link
from shared.errors import InvalidError

TOKEN = sign_link("s3cret", "unsubscribe", "demo", "0b9d9c1e-0000-4000-8000-000000000001")


@given(st.text(alphabet="abcz019_-", min_size=1), st.uuids().map(str))
def test_a_link_gives_back_whom_it_was_signed_for(organization_id: str, message_id: str) -> None:
    token = sign_link("s3cret", "track", organization_id, message_id)
    assert read_link("s3cret", "track", token) == (organization_id, message_id)
    assert token.replace(".", "").replace("-", "").replace("_", "").isalnum()


def test_the_links_of_a_mail_differ_by_purpose_mail_and_organization() -> None:
    purposes: tuple[Purpose, ...] = ("unsubscribe", "preferences", "track", "verify")
    mail, other = "0b9d9c1e-0000-4000-8000-000000000001", "0b9d9c1e-0000-4000-8000-000000000002"
    signed = [
        sign_link("s3cret", purpose, organization_id, message_id).partition(".")[2]
        for purpose in purposes
        for organization_id in ("demo", "demo2")
        for message_id in (mail, other)
    ]
    assert len({token[22:] for token in signed}) == len(signed)
    assert sign_all("s3cret", "demo", [mail, other], *purposes) == [
        [sign_link("s3cret", purpose, "demo", each).partition(".")[2] for each in (mail, other)] for purpose in purposes
    ]


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_a_link_with_any_character_changed_is_refused(place: int) -> None:
    changed = TOKEN[:place] + ("A" if TOKEN[place] != "A" else "B") + TOKEN[place + 1 :]
    with pytest.raises(InvalidError, match="not ours"):
        read_link("s3cret", "unsubscribe", changed)


def test_a_link_for_one_purpose_opens_no_other() -> None:
    with pytest.raises(InvalidError, match="not ours"):
        read_link("s3cret", "preferences", TOKEN)


def test_a_link_signed_with_another_secret_is_refused() -> None:
    with pytest.raises(InvalidError, match="not ours"):
        read_link("another", "unsubscribe", TOKEN)


@pytest.mark.parametrize("rubbish", ["", ".", "abc", "a.b.c", "é.ü", "\x00", "====", "YQ.YQ"])
def test_rubbish_is_refused(rubbish: str) -> None:
    with pytest.raises(InvalidError, match="not ours"):
        read_link("s3cret", "unsubscribe", rubbish)

"""Profiles as a fold of what was said, against the slow model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.profiles import fold_profile
from tests.model import profile_of

START = datetime(2026, 11, 1, tzinfo=UTC)
ADDRESSES = st.sampled_from(["a@example.com", "A@example.com", "b@example.com", None])
VERDICTS = st.sampled_from([True, True, False, None])
SAID = st.one_of(
    st.fixed_dictionaries({"email": ADDRESSES}, optional={"email_verified": VERDICTS}),
    st.fixed_dictionaries({"email_verified": VERDICTS}, optional={"verified_email": ADDRESSES}),
)


def folded(said: list[dict[str, Any]]) -> dict[str, Any]:
    return fold_profile(("customer.upserted", START + timedelta(days=n), data) for n, data in enumerate(said))


@settings(max_examples=400)
@given(st.lists(SAID, min_size=2, max_size=6))
def test_whether_an_address_is_verified_is_what_the_model_says(said: list[dict[str, Any]]) -> None:
    events = [
        {"type": "customer.upserted", "time": (START + timedelta(days=n)).isoformat(), "source": "/t", "id": "1"}
        | {"data": data}
        for n, data in enumerate(said)
    ]
    profile = folded(said)
    assert profile["email_verified"] == profile_of(events)["email_verified"]
    assert (profile["email_verified_at"] is not None) == profile["email_verified"]


@pytest.mark.parametrize(
    ("said", "verified"),
    [
        ([{"email": "b@example.com"}], False),
        ([{"email": "A@EXAMPLE.com"}], True),
        ([{"email": None}], False),
        ([{"name": "Asha"}], True),
        ([{"email": "b@example.com", "email_verified": True}], True),
        ([{"email": "b@example.com"}, {"email_verified": True, "verified_email": "a@example.com"}], False),
        ([{"email": "b@example.com"}, {"email_verified": True, "verified_email": "B@example.com"}], True),
    ],
)
def test_a_verified_address_that_changes_is_unverified_again(said: list[dict[str, Any]], *, verified: bool) -> None:
    profile = folded([{"email": "a@example.com", "email_verified": True}, *said])
    assert profile["email_verified"] is verified

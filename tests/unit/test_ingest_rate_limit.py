from __future__ import annotations

from services.ingest.rate_limit import SECONDS, RateLimit, too_many


def test_ten_seconds_worth_may_come_at_once_and_then_the_rate_holds() -> None:
    limit = RateLimit(100)
    assert limit.take("demo", "k", 100 * SECONDS, now=0.0) == 0
    assert limit.take("demo", "k", 50, now=0.0) == 0.5
    assert limit.take("demo", "k", 50, now=0.5) == 0
    assert limit.take("demo", "k", 1, now=0.5) > 0


def test_what_is_refused_costs_nothing() -> None:
    limit = RateLimit(1)
    limit.take("demo", "k", SECONDS, now=0.0)
    assert [limit.take("demo", "k", 2, now=1.0) for _ in range(3)] == [1.0] * 3
    assert limit.take("demo", "k", 2, now=2.0) == 0


def test_over_any_minute_no_more_than_the_rate_and_one_bucket_pass() -> None:
    limit = RateLimit(10)
    passed = sum(7 for tick in range(6000) if limit.take("demo", "k", 7, now=tick / 100) == 0)
    assert 10 * 60 <= passed <= 10 * 60 + 10 * SECONDS


def test_keys_do_not_share_a_bucket() -> None:
    limit = RateLimit(1)
    assert limit.take("demo", "a", SECONDS, now=0.0) == 0
    assert limit.take("demo", "b", SECONDS, now=0.0) == 0
    assert limit.take("other", "a", SECONDS, now=0.0) == 0
    assert limit.take("demo", "a", 1, now=0.0) > 0


def test_a_request_larger_than_the_bucket_passes_when_it_is_full() -> None:
    limit = RateLimit(1)
    assert limit.take("demo", "k", 1000, now=0.0) == 0
    assert limit.take("demo", "k", 1000, now=5.0) == 5.0
    assert limit.take("demo", "k", 1000, now=10.0) == 0


def test_the_wait_is_told_in_whole_seconds_rounded_up() -> None:
    assert [(too_many(5, wait).headers or {})["Retry-After"] for wait in (0.1, 1.0, 1.1, 9.9)] == ["1", "1", "2", "10"]

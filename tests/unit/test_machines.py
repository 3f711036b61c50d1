from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.machines import AT_ONCE, Click, Fetch, are_machines, came_too_soon, gives_itself_away

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


@pytest.mark.parametrize(
    "user_agent",
    [
        PHONE,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.3",
        "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
        # Comes when somebody opens the mail in Gmail or Yahoo, and hides who.
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    ],
)
def test_what_people_read_mail_with_is_no_machine(user_agent: str) -> None:
    assert not gives_itself_away(Fetch(user_agent))


@pytest.mark.parametrize(
    "fetch",
    [
        Fetch("Mozilla/5.0"),  # Apple Mail Privacy Protection
        Fetch(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"  # Gmail's prefetch
        ),
        Fetch("Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b"),
        Fetch("Barracuda Sentinel (EE)"),
        Fetch("python-requests/2.32"),
        Fetch(""),
        Fetch(PHONE, method="HEAD"),
        Fetch(PHONE, purpose="prefetch;prerender"),
    ],
)
def test_machines_give_themselves_away(fetch: Fetch) -> None:
    assert gives_itself_away(fetch)


def test_nobody_reads_within_a_second_of_the_delivery() -> None:
    second = timedelta(seconds=1)
    assert came_too_soon(NOW - timedelta(seconds=5), NOW, second)
    assert came_too_soon(NOW + second - timedelta(milliseconds=1), NOW, second)
    assert not came_too_soon(NOW + second, NOW, second)
    assert not came_too_soon(NOW, None, second)


def test_who_tries_mails_out_in_the_sandbox_may_be_as_quick_as_they_like() -> None:
    assert not came_too_soon(NOW - timedelta(seconds=5), NOW, timedelta(0))


def test_links_followed_all_at_once_were_followed_by_a_machine_the_first_one_too() -> None:
    burst = [Click(f"https://shop.example/{n}", NOW + n * timedelta(milliseconds=300), told=False) for n in range(4)]
    later = Click("https://shop.example/1", NOW + timedelta(seconds=40), told=False)
    assert are_machines([*burst, later]) == [True] * 4 + [False]


def test_one_link_pressed_twice_and_two_links_one_after_the_other_are_a_persons() -> None:
    twice = [Click("https://a.example", NOW, told=False), Click("https://a.example", NOW + AT_ONCE / 2, told=False)]
    assert are_machines(twice) == [False, False]
    apart = [Click("https://a.example", NOW, told=False), Click("https://b.example", NOW + AT_ONCE, told=False)]
    assert are_machines(apart) == [False, False]
    assert are_machines([Click("https://a.example", NOW, told=True)]) == [True]

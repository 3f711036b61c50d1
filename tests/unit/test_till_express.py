"""The express way reads nothing that the routes would refuse, and reads the rest as they do."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.app import create_app
from services.ingest.parts import Parts
from services.ingest.routes.basket import BasketBody
from services.ingest.till.asked import Use, Wanted, code_of
from services.ingest.till.express import Express, asked_by, read
from shared.keys import Key
from shared.settings import IngestSettings

texts = st.text(max_size=5) | st.sampled_from(["", "S-1", "x" * 128, "x" * 129, "a\x7fb", "a\u0085b", "ä", "\ud800"])
amounts = st.integers(-1, 3) | st.sampled_from([10**15, 10**15 + 1, 1.0, 2.5, "3", True, None])
lines = st.fixed_dictionaries(
    {"total": amounts}, optional={"product_id": texts | st.none(), "category": texts, "quantity": st.integers()}
)
baskets = st.fixed_dictionaries(
    {"sale_id": texts, "total": amounts},
    optional={
        "customer_id": texts | st.none() | st.integers(),
        "store_id": texts,
        "terminal_id": texts | st.none(),
        "lines": st.lists(lines, max_size=3) | st.none(),
        "extra": texts,
    },
)


@given(baskets)
@example({"sale_id": "S-1", "total": 3, "lines": [{"total": 2}, {"total": 1}]})
@example({"sale_id": "S-1", "total": 4, "lines": [{"total": 2}, {"total": 1}]})
@example({"sale_id": "S-1", "total": 1, "lines": [{"total": 1}] * 1_000})
@example({"sale_id": "S-1", "total": 1, "lines": [{"total": 1}] * 1_001})
def test_a_basket_is_read_as_the_routes_read_it_or_left_to_them(basket: dict[str, Any]) -> None:
    body = json.dumps(basket).encode()
    found = _read(body)
    try:
        expected = BasketBody.model_validate(json.loads(body)).wanted("demo", "VIP500")
    except pydantic.ValidationError:
        assert found is None
    else:
        assert found in (None, expected)


@pytest.mark.parametrize("extra", [{}, {"customer_id": "c-1", "store_id": "s1", "terminal_id": "t1"}, {"lines": []}])
def test_a_plain_basket_is_read(extra: dict[str, Any]) -> None:
    basket = {"sale_id": "S-1", "total": 10_000, "unknown": [1]} | extra
    assert _read(json.dumps(basket).encode()) == BasketBody.model_validate(basket).wanted("demo", "VIP500")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"sale_id": "\xff", "total": 1}', b"[" * 10_000])
def test_what_is_no_basket_is_left_to_the_routes(body: bytes) -> None:
    assert _read(body) is None


def _read(body: bytes) -> Wanted | None:
    return read({"type": "http.request", "body": body, "more_body": False}, "demo", "vip-500")


@pytest.mark.parametrize(
    ("method", "path", "route", "argument"),
    [
        ("POST", "/v1/coupons/VIP500/quote", "/v1/coupons/{code}/quote", "VIP500"),
        ("POST", "/v1/coupons/VIP500/holds", "/v1/coupons/{code}/holds", "VIP500"),
        ("POST", "/v1/holds/abc/commit", "/v1/holds/{hold_id}/commit", "abc"),
        ("DELETE", "/v1/holds/abc", "/v1/holds/{hold_id}", "abc"),
    ],
)
def test_it_knows_the_four_operations_by_their_routes(method: str, path: str, route: str, argument: str) -> None:
    asked = asked_by(method, path)
    assert asked is not None
    assert (asked.path, asked.argument) == (route, argument)
    declared = {
        (each, path) for path, methods in create_app(IngestSettings()).openapi()["paths"].items() for each in methods
    }
    assert (method.lower(), route) in declared


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/coupons/VIP500/quote"),
        ("POST", "/v1/coupons//quote"),
        ("POST", "/v1/coupons/VIP500/quote/"),
        ("POST", "/v1/coupons/a/b/quote"),
        ("POST", f"/v1/coupons/{'A' * 257}/quote"),
        ("POST", f"/v1/holds/{'a' * 513}/commit"),
        ("POST", "/v1/holds/abc"),
        ("DELETE", "/v1/holds/"),
        ("POST", "/v1/events"),
    ],
)
def test_everything_else_is_left_to_the_routes(method: str, path: str) -> None:
    assert asked_by(method, path) is None


class Held:
    """Holds whatever it is asked for."""

    async def ask(self, wanted: Wanted) -> Use:
        return Use(wanted.place, 500, (), None, is_new=True)


class OneKey:
    def known(self, token: str) -> Key | None:
        return {"rg.demo.t": Key("demo", "t", "terminal"), "rg.demo.v": Key("demo", "v", "viewer")}.get(token)


class Routes:
    """Notes what arrives."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, _: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 299, "headers": []})


GOOD = b'{"sale_id": "S-1", "total": 10000}'


def _post(routes: Routes, body: bytes = GOOD, rate: int = 100, times: int = 1, **headers: str) -> list[int]:
    """The statuses of so many holds."""
    parts: Parts = create_app(IngestSettings(rate_limit=rate)).state.parts
    express = Express(routes, replace(parts, keyring=OneKey(), bookings=Held()))  # type: ignore[arg-type]
    given = {"authorization": "Bearer rg.demo.t", "content-type": "application/json", "content-length": str(len(body))}
    head = [(name.replace("_", "-").encode(), value.encode()) for name, value in (given | headers).items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/coupons/VIP500/holds", "headers": head}
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def ask() -> None:
        for _ in range(times):
            parts_of_body = (
                [(body[:10], True), (body[10:], False)] if "transfer_encoding" in headers else [(body, False)]
            )
            left = [{"type": "http.request", "body": part, "more_body": more} for part, more in parts_of_body]

            async def receive() -> Any:
                return left.pop(0)  # noqa: B023 - awaited before the next round

            await express(scope, receive, send)

    asyncio.run(ask())
    return statuses


def test_a_plain_request_is_answered_at_once() -> None:
    routes = Routes()
    assert _post(routes) == [201]
    assert routes.bodies == []


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer rg.demo.unknown"},
        {"authorization": "Bearer rg.demo.v"},
        {"authorization": "Basic rg.demo.t"},
        {"content-type": "text/plain"},
        {"content-length": "100001"},
        {"transfer_encoding": "chunked"},
    ],
)
def test_what_needs_more_than_a_glance_reaches_the_routes_whole(headers: dict[str, str]) -> None:
    routes = Routes()
    assert _post(routes, **headers) == [299]
    assert routes.bodies == [GOOD]


def test_a_bad_basket_reaches_the_routes_whole() -> None:
    routes = Routes()
    assert _post(routes, b'{"sale_id": ""}') == [299]
    assert routes.bodies == [b'{"sale_id": ""}']


def test_what_exceeds_the_rate_reaches_the_routes_which_say_so() -> None:
    assert _post(Routes(), rate=1, times=12) == [201] * 10 + [299] * 2


def test_a_code_is_looked_up_in_capitals_without_blanks() -> None:
    assert code_of(" vip-500\0") == "VIP500"

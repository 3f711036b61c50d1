"""What a till is told when it asks for what it may not have, or wrongly; and that both ways to answer say the same."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.routes.coupons import Hold, Quote, Redemption
from services.ingest.till.asked import id_of
from tests.coupons import LINES, Till, add_coupon, codes, states
from tests.ingest import Service, organize


def test_another_organization_finds_nothing(ingest: Service, till: Till) -> None:
    organize(ingest.engine, "other")
    add_coupon(ingest.engine, "VIP500")
    held = till.hold("VIP500").json()
    stranger = Till(ingest.client, ingest.key(organization_id="other"))
    assert codes(stranger.quote("VIP500")) == ["unknown_code"]
    assert codes(stranger.hold("VIP500")) == ["unknown_code"]
    assert stranger.commit(held["id"]).status_code == 404
    assert stranger.release(held["id"]).status_code == 404
    assert states(ingest.engine, "VIP500") == {"S-1": "held"}


@pytest.mark.parametrize("given", [id_of(("demo", "VIP500", "S-1")), "nonsense", "0", "%00", "ä"])
def test_a_hold_that_does_not_exist_is_404(till: Till, given: str) -> None:
    assert till.commit(given).status_code == 404
    assert till.release(given).status_code == 404


@pytest.mark.parametrize(
    ("basket", "field"),
    [
        ({"total": -5}, "total"),
        ({"total": 0}, "total"),
        ({"total": 10.5}, "total"),
        ({"sale_id": ""}, "sale_id"),
        ({"sale_id": "a\0b"}, "sale_id"),
        ({"sale_id": "x" * 10_000}, "sale_id"),
        ({"lines": [{"product_id": "p", "total": -1}]}, "lines[0].total"),
        ({"lines": [{"product_id": "p", "total": 1}]}, ""),
    ],
)
def test_a_bad_basket_says_what_is_wrong_and_holds_nothing(
    ingest: Service, till: Till, basket: dict[str, Any], field: str
) -> None:
    add_coupon(ingest.engine, "VIP500")
    answer = till.hold("VIP500", **basket)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert states(ingest.engine, "VIP500") == {}


def test_a_key_that_may_not_publish_may_not_ask(ingest: Service) -> None:
    add_coupon(ingest.engine, "VIP500")
    viewer = Till(ingest.client, ingest.key("viewer"))
    assert viewer.quote("VIP500").status_code == 403
    assert Till(ingest.client, "rg.demo.x.y").hold("VIP500").status_code == 401


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", "application/json", "The body must be a JSON object, with Content-Type: application/json"),
        (b"[]", "application/json", "The body must be a JSON object, with Content-Type: application/json"),
        (b'{"sale_id": "a", "total": 5}', "text/plain", "The body must be a JSON object, with Content-Type"),
        (
            b'{"sale_id": "a\\nb", "total": 5}',
            "application/json",
            "sale_id: must not hold control characters: take them out",
        ),
    ],
)
def test_what_is_no_basket_is_told_what_to_send(ingest: Service, content: bytes, kind: str, said: str) -> None:
    headers = {"authorization": f"Bearer {ingest.token}", "content-type": kind}
    refused = ingest.client.post("/v1/coupons/VIP500/quote", content=content, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith(said)


def test_an_empty_basket_is_told_what_to_do(ingest: Service, till: Till) -> None:
    add_coupon(ingest.engine, "VIP500")
    for total in (0, -5):
        refused = till.hold("VIP500", total=total)
        assert refused.status_code == 422
        assert refused.json()["detail"] == "total: must be at least 1: ask when something that costs is in the basket"
    assert states(ingest.engine, "VIP500") == {}


def test_the_express_way_answers_as_the_routes_do(ingest: Service) -> None:
    express = answers(ingest, "Bearer", "EXPRESS")
    assert answers(ingest, "bearer", "ROUTES") == express  # only the routes know the scheme in small letters
    assert [status for status, _ in express] == [200, 200, 201, 409, 200, 409, 204, 404, 422]
    quoted, refused, held, _, committed, *_ = [body for _, body in express]
    assert Quote.model_validate(quoted).discount == Redemption.model_validate(committed | {"id": "1"}).discount == 500
    assert Quote.model_validate(refused).reasons
    assert [line.discount for line in Hold.model_validate(held | {"id": "1"}).lines] == [300, 200]


def answers(ingest: Service, scheme: str, code: str) -> list[tuple[int, Any]]:
    """Statuses and bodies, without what tells of code and hold."""
    add_coupon(ingest.engine, code, limit_total=2)
    till = Till(ingest.client, ingest.token, scheme)
    till.quote(code)  # so that the key is known
    quoted, refused = till.quote(code, lines=LINES), till.quote("NOSUCH")
    held, other = till.hold(code, lines=LINES), till.hold(code, "S-2").json()["id"]
    hold = held.json()["id"]
    given = [
        quoted,
        refused,
        held,
        till.hold(code, "S-3"),
        till.commit(hold),
        till.release(hold),
        till.release(other),
        till.commit("nonsense"),
        till.hold(code, ""),
    ]
    found = [(answer.status_code, answer.json() if answer.content else {}) for answer in given]
    return [
        (
            status,
            {name: value for name, value in body.items() if name != "id"} | ({"code": "C"} if "code" in body else {}),
        )
        for status, body in found
    ]

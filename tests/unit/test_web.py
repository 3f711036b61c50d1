from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from prometheus_client import REGISTRY
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from shared import web
from shared.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, TransientError
from shared.problems import Problem

ERRORS: dict[str, Exception] = {
    "invalid": InvalidError("must be positive", "lines[2].total"),
    "missing": NotFoundError("no such segment"),
    "conflict": ConflictError("in use"),
    "forbidden": ForbiddenError("owners only"),
    "transient": TransientError("Kafka is away", 1.2),
    "database": OperationalError("SELECT secret", {}, Exception("connection refused")),
    "problem": Problem(412, "Precondition Failed", "changed meanwhile", headers={"ETag": '"2"'}),
    "defect": ZeroDivisionError("the inside"),
}


class Line(BaseModel):
    total: int


class Basket(BaseModel):
    lines: list[Line]


@pytest.fixture
def app() -> FastAPI:
    router = APIRouter(prefix="/things")

    @router.get("/{kind}")
    async def fail(kind: str) -> None:
        raise ERRORS[kind]

    @router.post("/")
    async def take(basket: Basket, limit: int = 1) -> int:
        return len(basket.lines) + limit

    @router.put("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    app = FastAPI()
    app.include_router(router, prefix="/v1")
    web.install(app, lambda: "Kafka is away", largest_body=100)
    return app


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def chunks() -> Any:
    async def stream() -> Any:
        for _ in range(30):
            yield b"x" * 10

    return stream()


@pytest.mark.parametrize(
    ("kind", "status", "detail"),
    [
        ("invalid", 422, "lines[2].total: must be positive"),
        ("missing", 404, "no such segment"),
        ("conflict", 409, "in use"),
        ("forbidden", 403, "owners only"),
        ("transient", 503, "Kafka is away"),
        ("database", 503, "The database is away. Try again."),
        ("problem", 412, "changed meanwhile"),
    ],
)
def test_each_kind_of_error_is_a_problem_of_its_own(app: FastAPI, kind: str, status: int, detail: str) -> None:
    answer = ask(app, "GET", f"/v1/things/{kind}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"], problem["detail"]) == ("about:blank", status, detail)
    assert problem["title"]


def test_problems_carry_fields_and_headers(app: FastAPI) -> None:
    said = ask(app, "GET", "/v1/things/invalid").json()["errors"]
    assert said == [{"field": "lines[2].total", "message": "must be positive"}]
    assert ask(app, "GET", "/v1/things/transient").headers["retry-after"] == "2"
    assert ask(app, "GET", "/v1/things/problem").headers["etag"] == '"2"'


def test_a_defect_shows_its_request_id_and_nothing_of_the_inside(app: FastAPI) -> None:
    answer = ask(app, "GET", "/v1/things/defect", headers={"x-request-id": "r-1"})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r-1"
    assert "inside" not in answer.text


def test_fields_are_named_as_a_person_writes_them(app: FastAPI) -> None:
    wrong = ask(app, "POST", "/v1/things/?limit=x", json={"lines": [{"total": 1}, {"total": "q"}]})
    assert wrong.status_code == 422
    assert {each["field"] for each in wrong.json()["errors"]} == {"limit", "lines[1].total"}
    no_json = ask(app, "POST", "/v1/things/", content=b"{nope", headers={"content-type": "application/json"})
    assert no_json.json()["errors"][0]["field"] == ""
    assert no_json.json()["detail"].startswith("must be JSON: ")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_large_body_is_refused_whether_announced_or_streamed(app: FastAPI, method: str) -> None:
    json = {"content-type": "application/json"}
    for content in (b"x" * 101, chunks()):
        answer = ask(app, method, "/v1/things/", content=content, headers=json)
        assert answer.status_code == 413
        assert "100 bytes" in answer.json()["detail"]
    assert ask(app, "PUT", "/v1/things/", content=b"x" * 100).json() == 100


def test_streaming_stops_as_soon_as_it_is_too_much(app: FastAPI) -> None:
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 10

    def receive() -> Any:
        stream = endless()

        async def next_part() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(stream), "more_body": True}

        return next_part

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "path": "/v1/things/",
        "raw_path": b"/v1/things/",
        "query_string": b"",
        "headers": [],
        "server": ("test", 80),
        "client": ("test", 1),
        "scheme": "http",
        "root_path": "",
    }
    asyncio.run(app(scope, receive(), send))
    assert sent[0]["status"] == 413
    assert taken == 11


def test_unknown_places_and_methods_say_what_there_is(app: FastAPI) -> None:
    assert "/nowhere" in ask(app, "GET", "/nowhere").json()["detail"]
    answer = ask(app, "DELETE", "/v1/things/")
    assert answer.status_code == 405
    assert answer.headers["allow"] in answer.json()["detail"]


@pytest.fixture
def counted() -> Iterator[Any]:
    def count(route: str, status: str, method: str = "GET") -> float:
        labels = {"route": route, "status": status, "method": method}
        return REGISTRY.get_sample_value("regulars_http_requests_total", labels) or 0.0

    return count


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/v1/things/missing", "/v1/things/{kind}", "404"),
        ("GET", "/v1/things/defect", "/v1/things/{kind}", "500"),
        ("GET", "/some/customers/name", "unmatched", "404"),
        ("BREW", "/v1/things/", "/v1/things/", "405"),
    ],
)
def test_requests_are_counted_by_template(
    app: FastAPI, counted: Any, *, method: str, path: str, route: str, status: str
) -> None:
    label = method if method != "BREW" else "OTHER"
    before = counted(route, status, label)
    ask(app, method, path)
    assert counted(route, status, label) == before + 1


def test_health_and_readiness_differ(app: FastAPI) -> None:
    assert ask(app, "GET", "/healthz").status_code == 200
    answer = ask(app, "GET", "/readyz")
    assert (answer.status_code, answer.text) == (503, "Kafka is away\n")


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb"])
def test_only_sound_request_ids_are_taken_over(app: FastAPI, given: str) -> None:
    assert ask(app, "GET", "/healthz", headers={"x-request-id": given}).headers["x-request-id"] != given

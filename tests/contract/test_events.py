"""Schemas, examples and AsyncAPI document say the same as the code."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

import schemas
from schemas import generate
from shared.domain.event_models import MODELS
from shared.domain.events import TYPES, Reason, decode, kafka_key, topic_of
from shared.errors import InvalidError
from shared.kafka import Topic

FOLDER = Path(schemas.__file__).parent
NOW = datetime(2026, 11, 22, tzinfo=UTC)
GOOD = sorted((FOLDER / "examples" / "good").glob("*.json"))
BAD = sorted((FOLDER / "examples" / "bad").glob("*.json"))


def stem(path: Path) -> str:
    return path.stem


def bytes_of(bad: dict[str, Any]) -> bytes:
    if "raw_base64" in bad:
        return base64.b64decode(bad["raw_base64"])
    return bad["raw"].encode() if "raw" in bad else json.dumps(bad["event"]).encode()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))


def test_schema_files_are_those_that_the_models_generate():
    present = {path.name: path.read_text(encoding="utf-8") for path in generate.EVENTS.glob("*.json")}
    assert present == generate.schemas(), "run: python -m schemas.generate"


@pytest.mark.parametrize("kind", MODELS)
def test_schema_is_a_valid_json_schema(kind):
    Draft202012Validator.check_schema(json.loads(generate.schemas()[f"{kind}.schema.json"]))


def test_every_type_has_a_good_example():
    assert {json.loads(path.read_text(encoding="utf-8"))["type"] for path in GOOD} == set(MODELS)


@pytest.mark.parametrize("path", GOOD, ids=stem)
def test_good_example_decodes_to_what_it_says(path):
    raw = path.read_bytes()
    given = json.loads(raw)
    event = decode(raw, NOW)
    assert (event.type, event.id, event.source) == (given["type"], given["id"], given["source"])
    assert event.time == datetime.fromisoformat(given["time"])
    held = json.loads(msgspec.json.encode(event.data))
    named = {name: value for name, value in given["data"].items() if name in held}
    assert set(given["data"]) - set(named) <= {"cashier"}, "a field of the example is not held"
    assert without_instants(held) | without_instants(named) == without_instants(held)


def without_instants(data: dict[str, Any]) -> dict[str, Any]:
    """An instant may be written in another zone; lines are compared by what the example gives."""
    plain = {name: value for name, value in data.items() if name not in {"registered_at", "at", "lines"}}
    lines = [{k: v for k, v in line.items() if v is not None} for line in data.get("lines", [])]
    return {**plain, "lines": lines}


@pytest.mark.parametrize("path", GOOD, ids=stem)
def test_good_example_fits_its_schema(path):
    event = json.loads(path.read_bytes())
    schema = json.loads((generate.EVENTS / f"{event['type']}.schema.json").read_bytes())
    Draft202012Validator(schema).validate(event)


@pytest.mark.parametrize("path", GOOD, ids=stem)
def test_good_example_survives_being_written_and_read_again(path):
    event = decode(path.read_bytes(), NOW)
    assert decode(msgspec.json.encode(event), NOW) == event


@pytest.mark.parametrize("path", BAD, ids=stem)
def test_bad_example_is_refused_for_the_reason_it_gives(path):
    bad = json.loads(path.read_bytes())
    with pytest.raises(InvalidError) as refusal:
        decode(bytes_of(bad), NOW)
    assert (refusal.value.code, refusal.value.field) == (bad["reason_code"], bad["field"]), refusal.value
    assert refusal.value.message


def test_bad_examples_cover_every_reason_that_decoding_gives_but_size():
    elsewhere = {
        Reason.TOO_LARGE,
        Reason.UNKNOWN_ORGANIZATION,
        Reason.WRONG_ORGANIZATION,
        Reason.WRONG_CURRENCY,
        Reason.DUPLICATE_SALE,
        Reason.NOT_STORABLE,
    }
    assert {json.loads(path.read_bytes())["reason_code"] for path in BAD} == set(Reason) - elsewhere


def test_each_type_travels_in_one_topic():
    assert sorted(kind for kinds in TYPES.values() for kind in kinds) == sorted(MODELS)
    assert {*TYPES, "crm.dead-letter.v1"} == {topic.value for topic in Topic}
    assert topic_of("coupon.redemption_reversed") == "pos.coupons.v1"


@pytest.mark.parametrize(
    ("example", "key"),
    [
        ("sale.completed", b"demo/c-77"),
        ("sale.completed.anonymous", b"demo/R-0043"),
        ("sale.completed.no-lines", b"demo/R-0046"),
        ("coupon.redemption_reversed", b"demo/R-0042"),
        ("customer.merged", b"demo/c-78"),
        ("mail.opened", b"demo/c-77"),
    ],
)
def test_key_is_the_customer_or_else_the_sale(example, key):
    assert kafka_key(decode((FOLDER / "examples" / "good" / f"{example}.json").read_bytes(), NOW)) == key


def test_asyncapi_names_exactly_the_topics_and_types_there_are(asyncapi):
    channels = {channel["address"]: tuple(channel["messages"]) for channel in asyncapi["channels"].values()}
    assert channels == {**TYPES, "crm.dead-letter.v1": ("dead_letter",)}
    messages = asyncapi["components"]["messages"]
    assert set(messages) == {*MODELS, "dead_letter"}
    assert all(messages[kind]["payload"]["$ref"] == f"events/{kind}.schema.json" for kind in MODELS)
    assert asyncapi["components"]["schemas"]["deadLetterHeaders"]["properties"]["reason"]["enum"] == list(Reason)


def test_asyncapi_refers_to_nothing_that_is_not_there(asyncapi):
    for reference in references(asyncapi):
        file, _, pointer = reference.partition("#")
        node = json.loads((FOLDER / file).read_bytes()) if file else asyncapi
        for step in filter(None, pointer.split("/")):
            node = node[step]

"""What keeps the fast path honest: msgspec and the pydantic models give the same verdict and the same values."""

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import schemas
from shared.domain import decode as door
from shared.domain.event_fields import PRINTABLE, PRINTABLE_LINES
from shared.domain.event_models import MODELS
from shared.domain.events import CustomerUpserted, Event
from shared.errors import InvalidError

GOOD = Path(schemas.__file__).parent / "examples" / "good"
EXAMPLES = [json.loads(path.read_bytes()) for path in sorted(GOOD.glob("*.json"))]
SALE = json.loads((GOOD / "sale.completed.json").read_bytes())

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", " ", "x" * 64, "x" * 65, "x" * 128, "x" * 129, "x" * 256, "x" * 257, "😀" * 64, "😀" * 65, "x" * 2_001]
    ),
    st.sampled_from(
        ["INR", "inr", "INR\n", "ÄÖÜ", "demo", "-demo", "demo\n", "٣", "1.0", "event", "\x7f", "\x85", "\u2028"]
    ),
)
instants = st.one_of(
    st.sampled_from(
        [
            "2026-11-22 10:15:00Z",
            "2026-11-22t10:15:00z",
            "2026-11-22T10:15Z",
            "2026-11-22T10:15:60Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:15:00.9999999Z",
            "2026-11-22T10:15:00,5Z",
            "2026-11-22T10:15:00+0530",
            "2026-11-22T10:15:00+05",
            "2026-11-22T10:15:00-23:59",
            "2026-11-22",
            "1795169700",
            "0001-01-01T00:00:00+05:00",
            "9999-12-31T23:59:59.9999999Z",
        ]
    ),
    st.datetimes(timezones=st.timezones()).map(lambda instant: instant.isoformat()),
)
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from(
        [0, -0.0, 5.0, 1e3, 1e9, 10**9 + 1, 10**15, 10**15 + 1, 2**63, 2**64, 10**400, 0.1, 5e-324, True, False]
    ),
)
values = st.one_of(
    texts,
    instants,
    numbers,
    st.none(),
    st.lists(texts, max_size=3),
    st.dictionaries(st.text(max_size=3), numbers, max_size=2),
)


def places(node, path=()):
    """Every path into an event."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


@st.composite
def mutated(draw):
    event = json.loads(json.dumps(draw(st.sampled_from(EXAMPLES))))
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(list(places(event))))
        parent = event
        for step in path[:-1]:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "replace", "delete", "add"])):
            case "replace":
                parent[path[-1]] = draw(values)
            case "delete":
                del parent[path[-1]]
            case "add" if isinstance(parent, dict):
                parent[draw(st.sampled_from(["newer", "currency", "discount", "machine"]))] = draw(values)
    return event


def written(event, ascii_only):
    # A lone surrogate cannot be written as itself.
    return json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def verdict_of_models(raw):
    try:
        return repr(door._by_authority(raw))
    except InvalidError:
        return None


def verdict_of_msgspec(raw):
    event = door._by_fast_path(raw, door._ANY)
    return None if event is None else repr(event)


@settings(max_examples=400, database=None)
@given(mutated(), st.booleans())
def test_both_paths_give_the_same_verdict_and_the_same_values(event, ascii_only):
    raw = written(event, ascii_only)
    fast, models = verdict_of_msgspec(raw), verdict_of_models(raw)
    if event.get("type") != "customer.upserted" and door.is_plain(raw):
        assert fast == models
    else:
        assert fast is None or fast == models


# What no object can be dumped to: numbers in other spellings, keys given twice, escapes, broken bytes.
SPELLINGS = [
    (b'"total": 9000', b'"total": 9000.0'),
    (b'"total": 9000', b'"total": 9e3'),
    (b'"total": 9000', b'"total": 9E+3'),
    (b'"total": 9000', b'"total": -0'),
    (b'"total": 9000', b'"total": 09000'),
    (b'"total": 9000', b'"total": +9000'),
    (b'"total": 9000', b'"total": 1, "total": 9000'),
    (b'"total": 9000', b'"total": "x", "total": 9000'),
    (b'"total": 9000', b'"total": 9000, "total": "x"'),
    (b'"total": 9000', b'"tot\\u0061l": 9000'),
    (b'"total": 9000', b'"total": ' + b"9" * 5_000),
    (b'"quantity": 2', b'"quantity": 2e0'),
    (b'"quantity": 2', b'"quantity": 1e999'),
    (b'"quantity": 2', b'"quantity": -1e-999'),
    (b'"quantity": 2', b'"quantity": Infinity'),
    (b'"quantity": 2', b'"quantity": 0.1000000000000000055511151231257827'),
    (b'"quantity": 2', b'"quantity": 1000000000.0000000001'),
    (b'"type": "sale.completed"', b'"type": "sale.voided", "type": "sale.completed"'),
    (b'"type": "sale.completed"', b'"type": "sale.completed", "type": "sale.voided"'),
    (b'"type": "sale.completed"', b'"type": "sale.completed", "data": {"sale_id": "other"}'),
    (b'"R-0042"', b'"R-\\ud83d\\ude00"'),
    (b'"R-0042"', b'"R-\\ud83d"'),
    (b'"R-0042"', b'"R-\\ude00"'),
    (b'"R-0042"', b'"R-\\ud83d\\u0041"'),
    (b'"R-0042"', b'"R-\\ud83d\\ud83d"'),
    (b'"R-0042"', b'"R-\\x41"'),
    (b'"R-0042"', b'"R-\xed\xa0\xbd"'),
    (b'"R-0042"', b'"R-\xc0\x80"'),
    (b'"R-0042"', b'"R-\xc2\x85"'),
    (b'"R-0042"', b'"R-\n"'),
    (b'"R-0042"', b'"R-\\\\u0000"'),
    (b"{", b"\xef\xbb\xbf{"),
    (b'"data"', b'"note": "\xff", "data"'),
    (b'"data"', b'"note": NaN, "data"'),
    (b'"data"', b'"note": 1e999, "data"'),
    (b'"data"', b'"note": "\\ud83d", "data"'),
    (b'"data"', b'/* note */ "data"'),
]


def test_both_paths_agree_on_spellings_that_no_object_can_be_dumped_to():
    plain = json.dumps(SALE).encode()
    for old, new in SPELLINGS:
        raw = plain.replace(old, new, 1)
        assert raw != plain, old
        fast, models = verdict_of_msgspec(raw), verdict_of_models(raw)
        assert fast is None or fast == models, raw


@settings(max_examples=300, database=None)
@given(st.integers(0, 10_000), st.binary(min_size=0, max_size=3))
@example(0, b"[")
def test_both_paths_agree_on_bytes_that_were_cut_and_overwritten(position, noise):
    plain = json.dumps(SALE, ensure_ascii=False).encode()
    position %= len(plain)
    raw = plain[:position] + noise + plain[position + len(noise) :]
    fast = verdict_of_msgspec(raw)
    assert fast is None or fast == verdict_of_models(raw)


def told(schema, node):
    """What a JSON Schema demands, without words, references and differences of spelling between the two libraries."""
    if isinstance(node, list):
        return [told(schema, item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return told(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    node = {key: value for key, value in node.items() if key not in {"title", "description", "$defs"}}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "enum" in node:
        return {"enum": sorted(node["enum"])}
    if node.get("pattern") in {PRINTABLE, PRINTABLE_LINES}:
        del node["pattern"]  # the fast path looks for control characters in the bytes
    if "required" in node:
        node["required"] = sorted(node["required"])
    if "properties" in node:
        node["properties"] = {name: told(schema, field) for name, field in node["properties"].items()}
    return {key: value if key == "properties" else told(schema, value) for key, value in node.items()}


@pytest.mark.parametrize("struct", get_args(Event), ids=lambda struct: struct.__name__)
def test_struct_and_model_demand_the_same(struct):
    fast, models = msgspec.json.schema(struct), MODELS[struct.__struct_config__.tag].model_json_schema()
    fast, models = told(fast, fast), told(models, models)
    if struct is CustomerUpserted:  # never read by msgspec: only the fields must be the same
        fast, models = fast["properties"]["data"], models["properties"]["data"]
        assert (fast["required"], set(fast["properties"])) == (models["required"], set(models["properties"]))
    else:
        assert fast == models

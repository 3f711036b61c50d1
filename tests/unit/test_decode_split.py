"""A request's body into events, each in its own bytes."""

import pytest

from shared.domain.events import Reason, split_batch
from shared.errors import InvalidError

JSON = "application/json"
NDJSON = "application/x-ndjson; charset=utf-8"


def test_one_object_is_one_event_in_its_own_bytes():
    assert split_batch(b' {"id": 1.0}\n', JSON) == [b' {"id": 1.0}\n']


def test_an_array_keeps_the_bytes_of_each_element():
    body = b' [{"total": 5.0}, {"id": "\xff"}, 7 ,"x"]'
    assert split_batch(body, JSON) == [b'{"total": 5.0}', b'{"id": "\xff"}', b"7", b'"x"']


@pytest.mark.parametrize(
    "bad",
    [
        b'{"id": }',
        b'{"total": NaN}',
        b'{"id": "\\ud800"}',
        b'{"id": "a, ]\\"\xff", "x": }',
        b'{"total": ' + b"9" * 5000 + b"}",
        b"[" * 9_000 + b"]" * 9_000,
    ],
)
def test_an_element_that_no_decoder_takes_spoils_none_of_its_neighbours(bad):
    assert split_batch(b'[{"id": "[1,"}, ' + bad + b' , {"id": 2}]', JSON) == [b'{"id": "[1,"}', bad, b'{"id": 2}']


def test_lines_are_events_and_blank_ones_are_not():
    assert split_batch(b'{"id": 1}\r\n\n  \nrubbish\n{"id": 2}', NDJSON) == [b'{"id": 1}', b"rubbish", b'{"id": 2}']


def test_without_a_content_type_the_body_tells_for_itself():
    assert split_batch(b"[1,2]", "") == [b"1", b"2"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", JSON),
        (b" \n", JSON),
        (b"\n\n", NDJSON),
        (b"[]", JSON),
        (b'[{"id": 1}, {"id": 2}', JSON),
        (b'[{"id": 1}, , {"id": 2}]', JSON),
        (b'[{"id": 1}] {"id": 2}', JSON),
        (b"[" * 90_000, JSON),
    ],
)
def test_a_body_without_events_that_can_be_told_apart_is_refused(body, content_type):
    with pytest.raises(InvalidError) as caught:
        split_batch(body, content_type)
    assert caught.value.code == Reason.INVALID_JSON

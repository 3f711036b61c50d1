"""Our producers put a key into the partition that every other client finds."""

from aiokafka.partitioner import murmur2 as one_by_one
from hypothesis import given
from hypothesis import strategies as st

from shared.kafka_partitions import murmur2, partitions_of


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=50))
def test_many_keys_hash_as_kafkas_clients_hash_each(keys: list[bytes]) -> None:
    assert murmur2(keys).tolist() == [one_by_one(key) & 0xFFFFFFFF for key in keys]


def test_no_keys_have_no_partitions() -> None:
    assert partitions_of([], 12) == []

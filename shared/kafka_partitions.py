"""Which partition a key goes to: the choice of Kafka's own clients, for many keys at once.

Murmur2 as in org.apache.kafka.common.utils.Utils, by NumPy: key by key, in Python, it costs more than sending.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SEED = np.uint32(0x9747B28C)
M = np.uint32(0x5BD1E995)
POSITIVE = np.uint32(0x7FFFFFFF)
WORD = 4  # bytes


def partitions_of(keys: Sequence[bytes], number: int) -> list[int]:
    """The partition of each key, of `number` that the topic has."""
    if not keys:
        return []
    chosen: list[int] = ((murmur2(keys) & POSITIVE) % np.uint32(number)).tolist()
    return chosen


def murmur2(keys: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """The hash of each key."""
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    number = int(lengths.max()) // WORD + 1
    words = np.frombuffer(b"".join([key.ljust(number * WORD, b"\0") for key in keys]), "<u4").reshape(-1, number)
    whole = lengths // WORD
    hashes = SEED ^ lengths
    for place in range(number):
        word = words[:, place] * M
        word = (word ^ (word >> np.uint32(24))) * M
        hashes = np.where(place < whole, (hashes * M) ^ word, hashes)
    # What is left of the last word, with zeros behind it.
    rest = (hashes ^ words[np.arange(len(keys)), whole]) * M
    hashes = np.where(lengths % WORD > 0, rest, hashes)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * M
    return hashes ^ (hashes >> np.uint32(15))

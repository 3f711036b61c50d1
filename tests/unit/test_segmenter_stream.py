"""In which order batches reach the lanes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from services.segmenter.stream import ALONE, Stream
from shared.settings import SegmenterSettings

PLACE = TopicPartition("pos.sales.v1", 0)
Records = Sequence[ConsumerRecord[bytes, bytes]]


def records(first: int, number: int) -> list[ConsumerRecord[bytes, bytes]]:
    return [
        ConsumerRecord(PLACE.topic, 0, n, 0, 0, b"demo/c-%d" % n, b"", None, 0, 0, [])
        for n in range(first, first + number)
    ]


class Consumer:
    """Has a batch of many records, then one of few; lets the lanes end the first only when the loop next turns."""

    def __init__(self, stream: Stream, may_end: threading.Event) -> None:
        self.stream = stream
        self.may_end = may_end
        self.batches = [records(0, ALONE + 1), records(ALONE + 1, 1)]

    async def getmany(self, **_: object) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        batch = self.batches.pop(0)
        if not self.batches:
            asyncio.get_running_loop().call_soon(self.may_end.set)
            self.stream._stopped.set()
        return {PLACE: batch}

    async def commit(self, _: object) -> None:
        pass

    def highwater(self, _: TopicPartition) -> int:
        return ALONE + 2


def test_few_events_wait_until_no_lane_is_at_work_on_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def consume() -> list[bool]:
        stream = Stream(SegmenterSettings(lanes=3))
        may_end = threading.Event()

        def handle(_: Records) -> None:
            may_end.wait(30)

        for lane in stream.lanes:
            monkeypatch.setattr(lane, "handle", handle)
        stream.consumer = Consumer(stream, may_end)
        hand_out, before, were_done = stream._hand_out, list[asyncio.Future[None]](), []

        def watched(batch: Records) -> Any:
            were_done.append(all(work.done() for work in before))
            work = hand_out(batch)
            before.extend(work)
            return work

        monkeypatch.setattr(stream, "_hand_out", watched)
        await Stream.consume.fun(stream)
        for lane in stream.lanes:
            lane.end()
        return were_done

    assert asyncio.run(consume()) == [True, True]

"""The service segmenter as a process."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

from services.segmenter.app import Segmenter
from shared import logging, metrics
from shared.kafka_trouble import wait_for_kafka
from shared.settings import SegmenterSettings
from shared.worker import Worker

GARBAGE = (200_000, 20, 100)
"""A batch makes some ten thousand objects and frees them all: looking through them for cycles finds nothing."""

ALLOCATOR = {-8: 1, -3: 500_000, -1: 500_000}
"""glibc's M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, see malloc.h: one heap for all threads, which take turns
anyway, and what is large goes back to the system. By itself it keeps some 40 MB of what batches are done with.
"""


def run(settings: SegmenterSettings) -> None:
    """Run until SIGTERM."""
    _keep_memory_small()
    logging.configure(settings, "segmenter")
    segmenter = Segmenter(settings)
    # Lanes wait for the database more often than they compute: who has an answer must not wait 5 ms for its turn.
    sys.setswitchinterval(0.000_5)
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    metrics.serve(settings, segmenter.not_ready_because)
    wait_for_kafka(settings, segmenter.tell_of_kafka)
    Worker(segmenter.app).execute_from_commandline()


def _keep_memory_small() -> None:
    with suppress(OSError, AttributeError):  # other systems have other allocators
        mallopt = ctypes.CDLL(None).mallopt
        for what, value in ALLOCATOR.items():
            mallopt(what, value)

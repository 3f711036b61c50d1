"""Lanes decode side by side: what their first events need is ready before them."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: it is the first decoding that used to crash.
FIRST_EVENTS_AT_ONCE = """
import sys, threading
from datetime import UTC, datetime
from shared.domain.decode import decode_till
sys.setswitchinterval(1e-6)
raw = (b'{"specversion":"1.0","id":"1","source":"/demo/x","type":"customer.upserted","time":"2026-11-22T10:15:00Z",'
       b'"data":{"organization_id":"demo","customer_id":"c","name":"Ann"}}')
ready = threading.Barrier(12)
def first():
    ready.wait()
    decode_till(raw, datetime(2026, 11, 22, 12, tzinfo=UTC))
threads = [threading.Thread(target=first) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_first_events_in_several_threads_crash_nobody() -> None:
    for _ in range(5):
        assert subprocess.run([sys.executable, "-c", FIRST_EVENTS_AT_ONCE], check=False).returncode == 0

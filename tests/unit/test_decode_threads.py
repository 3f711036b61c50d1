"""Threads decode side by side: what their first decoding needs is ready before them."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: it is the first decoding that used to crash.
AT_ONCE = """
import sys, threading
from datetime import UTC, datetime
{setup}
sys.setswitchinterval(1e-6)
ready = threading.Barrier(12)
def first():
    ready.wait()
    {decode}
threads = [threading.Thread(target=first) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
EVENT = """
from shared.domain.decode import decode_till
raw = (b'{"specversion":"1.0","id":"1","source":"/demo/x","type":"customer.upserted","time":"2026-11-22T10:15:00Z",'
       b'"data":{"organization_id":"demo","customer_id":"c","name":"Ann"}}')
"""
MAIL = """
from shared.mail.content import _from_json
raw = b'{"sender": "a@b.example", "subject": ["Hi"], "html": ["Hi"], "text": ["Hi"]}'
read = _from_json.__wrapped__
"""


@pytest.mark.parametrize(
    ("setup", "decode"),
    [
        (EVENT, "decode_till(raw, datetime(2026, 11, 22, 12, tzinfo=UTC))"),
        (MAIL, "read(raw)"),
    ],
    ids=["an event", "a mail's content"],
)
def test_first_decodings_in_several_threads_crash_nobody(setup: str, decode: str) -> None:
    for _ in range(5):
        script = AT_ONCE.format(setup=setup, decode=decode)
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

"""Through ingest over HTTP, as a till does: batches of NDJSON, each tried until it is answered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx

from services.local.publish.lines import Chunk, Line
from services.local.publish.report import Report
from shared.errors import RegularsError

BATCH_EVENTS = 1_000  # the most that ingest takes
BATCH_BYTES = 4_000_000
TIMEOUT_SECONDS = 30.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
LATER = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


def publish(chunks: Iterator[Chunk], url: str, key: str, report: Report) -> None:
    """Post all lines to ingest at `url` with a terminal's key; returns when each was accepted or rejected.

    An answer that asks to come later, or a lost connection, is tried again until it goes through: what ingest had taken
    already counts once. Raises RegularsError where trying again would not help.
    """
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        for chunk in chunks:
            for batch in _batches(chunk.lines):
                _post(client, batch, report)
            report.accept(0, chunk.end)


def _batches(lines: list[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == BATCH_EVENTS or size + len(line.raw) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.raw)
    if batch:
        yield batch


def _post(client: httpx.Client, batch: list[Line], report: Report) -> None:
    answer = _answered(client, b"\n".join(line.raw for line in batch), report)
    body = _json(answer)
    accepted, rejected = body.get("accepted", 0), body.get("rejected", [])
    if accepted + len(rejected) == len(batch):
        for one in rejected:
            report.reject(batch[one["index"]].number, one["reason"])
        report.accept(accepted)
    elif answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(batch) > 1:
        middle = len(batch) // 2
        _post(client, batch[:middle], report)
        _post(client, batch[middle:], report)
    elif answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        report.reject(batch[0].number, _reason(answer, body))
    else:
        raise RegularsError(f"ingest refuses lines {batch[0].number} to {batch[-1].number}: {_reason(answer, body)}")


def _answered(client: httpx.Client, content: bytes, report: Report) -> httpx.Response:
    pause = FIRST_PAUSE
    while True:
        try:
            answer = client.post("/v1/events", content=content)
        except httpx.TransportError as error:
            why, wait = f"ingest does not answer ({type(error).__name__})", pause
        else:
            if answer.status_code not in LATER:
                report.wait("")
                return answer
            why, wait = f"ingest says: later ({answer.status_code})", _retry_after(answer) or pause
        report.wait(f"{why}, trying again")
        time.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds, as ingest gives it; the header's other form, a date, is left to the usual pause."""
    try:
        return float(answer.headers["Retry-After"])
    except (KeyError, ValueError):
        return None


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _reason(answer: httpx.Response, body: dict[str, Any]) -> str:
    """What a problem document says, else the status."""
    return str(body.get("detail") or body.get("title") or f"status {answer.status_code}")

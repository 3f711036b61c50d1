"""`POST /emails` and `POST /emails/batch`, as Resend has them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.local.sandbox import body
from services.local.sandbox.answer import JsonAnswer, RefusedError, invalid
from services.local.sandbox.faults import Cut, FaultKind, Faults, Silence
from services.local.sandbox.limit import RateLimit
from services.local.sandbox.mail import accept
from services.local.sandbox.message import to_ms
from services.local.sandbox.store import Store
from services.local.sandbox.submission import Accepted, Submission
from shared.clock import Clock

MOST_IN_A_BATCH = 100
LONGEST_KEY = 256

# The same mail gives the same bytes whatever the order of its keys, so that a retry is known by them.
_ENCODER = msgspec.json.Encoder(order="deterministic")

Prepare = Callable[[Request, bytes, datetime], Submission]


class Emails:
    """Takes mail in. `arrived` is set whenever some was kept."""

    def __init__(self, store: Store, faults: Faults, limit: RateLimit, clock: Clock) -> None:
        self._store = store
        self._faults = faults
        self._limit = limit
        self._clock = clock
        self._in_progress: set[str | None] = set()
        self.arrived = asyncio.Event()

    async def one(self, request: Request) -> Response:
        return await self._take(request, _one)

    async def batch(self, request: Request) -> Response:
        return await self._take(request, _batch)

    async def _take(self, request: Request, prepare: Prepare) -> Response:
        fault = self._faults.take()
        if fault == "timeout":
            return Silence()
        try:
            response = await self._keep(request, prepare, fault)
        except RefusedError as refusal:
            response = refusal.answer()
        response.headers.update(self._limit.headers())
        return Cut() if fault == "drop_after_accept" else response

    async def _keep(self, request: Request, prepare: Prepare, fault: FaultKind | None) -> JsonAnswer:
        if fault == "429":
            raise self._limit.refusal()
        if fault == "500":
            raise RefusedError(500, "application_error", "An unexpected error occurred. It was ordered at /faults.")
        scheme, _, api_key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not api_key.strip():
            raise RefusedError(401, "missing_api_key", "Missing API key in the authorization header.")
        now = self._clock()
        self._limit.admit(now)
        submission = prepare(request, await body.read(request), now)
        if submission.key in self._in_progress:
            message = "Same idempotency key used while original request is still in progress."
            raise RefusedError(409, "concurrent_idempotent_requests", message)
        keys: set[str | None] = {submission.key} - {None}
        self._in_progress |= keys
        try:
            answer = await self._store.keep(submission)
        finally:
            self._in_progress -= keys
        self.arrived.set()
        return JsonAnswer(answer)


def _one(request: Request, raw: bytes, now: datetime) -> Submission:
    (identifier,) = new_ids(now, 1)
    mail = _accepted(identifier, raw)
    answer = msgspec.json.encode({"id": identifier})
    return Submission([mail], now, answer, _key(request), hashlib.sha256(b"one" + mail.content).digest())


def _batch(request: Request, raw: bytes, now: datetime) -> Submission:
    """Strict (all or nothing) unless `x-batch-validation: permissive` asks to keep the good ones."""
    entries: list[msgspec.Raw] = body.decode(raw, list[msgspec.Raw])
    if not 1 <= len(entries) <= MOST_IN_A_BATCH:
        raise invalid(f"A batch takes 1 to {MOST_IN_A_BATCH} emails, this one has {len(entries)}.")
    permissive = request.headers.get("x-batch-validation", "strict").lower() == "permissive"
    fingerprint = hashlib.sha256(b"batch")
    mails: list[Accepted] = []
    errors: list[dict[str, int | str]] = []
    for index, (entry, identifier) in enumerate(zip(entries, new_ids(now, len(entries)), strict=True)):
        try:
            mail = _accepted(identifier, entry)
        except RefusedError as refusal:
            if not permissive:
                raise RefusedError(
                    refusal.status, refusal.name, f"{refusal.message} (email {index} of the batch)"
                ) from None
            errors.append({"index": index, "message": refusal.message})
            fingerprint.update(bytes(entry))
            continue
        mails.append(mail)
        fingerprint.update(mail.content)
    answer: dict[str, object] = {"data": [{"id": mail.id} for mail in mails]}
    if permissive:
        answer["errors"] = errors
    return Submission(mails, now, msgspec.json.encode(answer), _key(request), fingerprint.digest())


def _accepted(identifier: str, raw: bytes | msgspec.Raw) -> Accepted:
    return Accepted(identifier, _ENCODER.encode(accept(raw)))


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise RefusedError(400, "invalid_idempotency_key", f"The key must be between 1-{LONGEST_KEY} chars.")
    return key


def new_ids(now: datetime, count: int) -> list[str]:
    """UUIDs of version 7 (RFC 9562, 5.7) that ascend, so that the index over them grows at its end."""
    first = to_ms(now) << 80 | 0x7 << 76 | 0b10 << 62
    chance = int.from_bytes(os.urandom(9)) >> 11  # 61 bits: room to count up by without a carry
    digits = (f"{first | (chance + step):032x}" for step in range(count))
    return [f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}" for d in digits]

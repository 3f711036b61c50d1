"""Resend through its SDK, and the sandbox, which speaks the same API.

https://resend.com/docs/api-reference/emails/send-batch-emails, https://resend.com/docs/api-reference/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from itertools import chain
from typing import cast

import resend
from msgspec.json import encode
from resend.exceptions import ResendError

from services.mailer.provider import Accepted, Form, Halted, Mails, Outcome, Refused, Retry, Taken, unnoted
from services.mailer.resend_client import READY, KeepAlive
from services.mailer.stencil import Hole, Stencil, as_utf8, in_json, pieces_of, ways

# The SDK's word for a call that got no answer at all.
NO_ANSWER = "HttpClientError"
# Mails in one piece: for pieces of hundreds of kB the system would bring new memory each time, a page at a time.
AT_ONCE = 10
QUOTAS = {"daily_quota_exceeded", "monthly_quota_exceeded"}


class ResendProvider:
    """One to a process, for any number of threads: the SDK keeps its key, address and client in globals."""

    def __init__(self, api_key: str, api_url: str | None = None) -> None:
        self._http = KeepAlive()
        self._before = resend.default_http_client
        resend.api_key = api_key
        resend.default_http_client = self._http
        resend.api_url = api_url or "https://api.resend.com"

    def send_batch(self, mails: Mails, idempotency_key: str, taken: Taken = unnoted) -> Outcome:
        """Mails that Resend finds invalid are turned down one by one; the others go."""
        del taken  # the key tells
        # Without "permissive" one bad address would hold up the other 99.
        options: resend.Batch.SendOptions = {"idempotency_key": idempotency_key, "batch_validation": "permissive"}
        try:
            # The SDK copies each mail's fields for its HTTP client: mails that are JSON already go as one field of one.
            answer = resend.Batch.send([cast("resend.Emails.SendParams", {READY: body_of(mails)})], options)
        except ResendError as error:
            return _outcome(error, self._http.unreachable)
        refused = {int(each["index"]): str(each["message"]) for each in answer.get("errors") or ()}
        kept = [position for position in range(len(mails)) if position not in refused]
        ids = [str(each["id"]) for each in answer["data"]]
        return Accepted(dict(zip(kept, ids, strict=False)), refused)

    def close(self) -> None:
        """End the connections, and leave the SDK with the client that it had."""
        resend.default_http_client = self._before
        self._http.close()


def body_of(mails: Mails) -> list[bytes]:
    """A batch as JSON, in some pieces."""
    first, *more = _stencil(mails.form).filled(mails.columns, len(mails), together=AT_ONCE)
    return [b"[" + first[1:], *more, b"]"]


@lru_cache(maxsize=64)
def _stencil(form: Form) -> Stencil:
    """A mail of the form, as JSON, with a comma before it."""
    inner = ways(in_json)
    headers = [
        (b"," * (n > 0), encode(name), b':"', *pieces_of(parts, inner), b'"')
        for n, (name, parts) in enumerate(form.headers)
    ]
    tags = encode([{"name": "organization_id", "value": form.organization_id}, {"name": "message_id", "value": "\0"}])
    before, after = tags.split(b"\\u0000")
    return Stencil(
        [
            *(b',{"from":', encode(form.sender), b',"to":["', _hole("to"), b'"],"subject":"', _hole("subject")),
            *(b'","html":"', *pieces_of(form.html, inner), b'","text":"', *pieces_of(form.text, inner)),
            *(
                b'","headers":{',
                *chain.from_iterable(headers),
                b'},"tags":',
                before,
                Hole("message_id", "", as_utf8),
                after,
                b"}",
            ),
        ]
    )


def _hole(name: str) -> Hole:
    return Hole(name, "", in_json)


def _outcome(error: ResendError, unreachable: bool) -> Outcome:
    status, kind = int(error.code), error.error_type
    why = error.message if kind == NO_ANSWER else f"{status} {kind}: {error.message}"
    if kind == "invalid_idempotent_request":
        return Accepted({})  # the key was used before, so the batch was taken then, under another version of ours
    if kind in QUOTAS or status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Halted(why)
    if status in {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS} or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # A 429 came before the mail was looked at; of anything else one can not know.
        certain = unreachable if kind == NO_ANSWER else status == HTTPStatus.TOO_MANY_REQUESTS
        return Retry(why, in_doubt=not certain, after=_retry_after(error.headers))
    return Refused(why)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    given = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    return float(given) if given.replace(".", "", 1).isdigit() else None

"""Whether a part works, asked from outside."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

import psycopg

from shared.errors import SetupError
from shared.kafka_access import KafkaAccess
from shared.kafka_trouble import reach_within

PATIENCE_SECONDS = 2.0


def why_not_ready(base_url: str, patience: float = PATIENCE_SECONDS) -> str | None:
    """None when `base_url`/readyz says ready, else its reason."""
    try:
        # A number and a path of ours, never a user's URL.
        with urllib.request.urlopen(f"{base_url}/readyz", timeout=patience):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        with error:
            return error.read(300).decode(errors="replace").strip() or f"status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer: {error}"


def why_no_database(url: str) -> str | None:
    """None when the database takes connections."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.Error as error:
        return str(error).strip().splitlines()[-1]
    return None


def why_no_kafka(access: KafkaAccess, patience: float = PATIENCE_SECONDS) -> str | None:
    """None when the broker lets us in and tells its metadata."""
    try:
        reach_within(access, patience)
    except SetupError as error:
        return str(error)
    return None

from __future__ import annotations

import socket

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from services.ingest.app import create_app
from shared import web
from shared.errors import SetupError
from shared.settings import IngestSettings


def test_composing_connects_to_nothing() -> None:
    assert create_app(IngestSettings(kafka="127.0.0.1:1", database="postgresql://nobody@127.0.0.1:1/none")).routes


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64", ""])
def test_a_webhook_secret_that_cannot_work_is_said_at_start(secret: str) -> None:
    with pytest.raises(SetupError, match="REGULARS_WEBHOOK_SECRET"):
        create_app(IngestSettings(webhook_secret=SecretStr(secret)))


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"Cannot listen on 127.0.0.1:{port}"):
            web.serve(FastAPI(), "127.0.0.1", port)

"""Commands that hand something to ingest: bounce."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.installation import DataDir, find

app = typer.Typer()
# What mail servers take as: keep it and call again (sysexits.h, EX_TEMPFAIL).
LATER = 75


@app.command()
def bounce(
    file: Annotated[Path | None, typer.Argument(help="The mail as it arrived; without it, standard input.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Ingest's address; else this machine's installation, else REGULARS_PUBLIC_URL.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Hand a bounced mail to ingest: what a mail server pipes the mailbox of REGULARS_SMTP_RETURN_PATH into.

    Example: regulars bounce < mail.eml
    """
    import httpx

    raw = file.read_bytes() if file is not None else sys.stdin.buffer.read()
    here = find(data_dir)
    address = url or (here and here.endpoints.get("ingest")) or os.environ.get("REGULARS_PUBLIC_URL")
    address = (address or "http://127.0.0.1:8010").rstrip("/")
    headers = {"Content-Type": "message/rfc822"}
    try:
        answer = httpx.post(f"{address}/webhooks/bounces", content=raw, headers=headers, timeout=30)
    except httpx.TransportError as error:
        typer.echo(f"Ingest at {address} does not answer: {error}", err=True)
        raise typer.Exit(LATER) from None
    if answer.is_server_error:
        typer.echo(f"Ingest at {address} says: later ({answer.status_code})", err=True)
        raise typer.Exit(LATER)
    if answer.is_client_error:
        typer.echo(f"Ingest at {address} refuses it: {answer.status_code}", err=True)
        raise typer.Exit(1)
    typer.echo(answer.json()["status"])

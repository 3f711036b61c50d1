"""`python -m schemas.generate` writes `schemas/events` anew from the models; a test holds them equal."""

from __future__ import annotations

import json
from pathlib import Path

from shared.domain.event_models import MODELS

EVENTS = Path(__file__).parent / "events"


def schemas() -> dict[str, str]:
    """Give each schema file's name and text."""
    return {
        f"{kind}.schema.json": json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}, indent=2
        )
        + "\n"
        for kind, model in MODELS.items()
    }


def write() -> None:
    """Make the folder hold these schemas and no others."""
    EVENTS.mkdir(exist_ok=True)
    wanted = schemas()
    for stale in {path.name for path in EVENTS.glob("*.schema.json")} - set(wanted):
        (EVENTS / stale).unlink()
    for name, text in wanted.items():
        (EVENTS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()

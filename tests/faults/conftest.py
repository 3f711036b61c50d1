from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.settings import SegmenterSettings
from tests.segmenter import organize


@pytest.fixture
def chosen(settings: Callable[..., Any]) -> SegmenterSettings:
    """A segmenter's settings, with topics and the organization `demo`."""
    made: SegmenterSettings = settings(SegmenterSettings)
    organize(made)
    return made

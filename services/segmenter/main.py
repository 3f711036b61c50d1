"""Entry of the segmenter: settings, logging, metrics, run."""

from __future__ import annotations

import gc
import sys

from faust import Worker

from services.segmenter.app import Segmenter
from shared import logging, metrics
from shared.settings import SegmenterSettings

GARBAGE = (200_000, 20, 100)
"""A batch makes some ten thousand objects and frees them all: looking through them for cycles finds nothing."""


def run(settings: SegmenterSettings) -> None:
    """Run until SIGTERM."""
    logging.configure(settings, "segmenter")
    segmenter = Segmenter(settings)
    # Lanes wait for the database more often than they compute: who has an answer must not wait 5 ms for its turn.
    sys.setswitchinterval(0.000_5)
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    metrics.serve(settings, segmenter.not_ready_because)
    Worker(segmenter.app, quiet=True, override_logging=False, redirect_stdouts=False).execute_from_commandline()

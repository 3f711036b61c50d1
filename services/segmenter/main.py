"""Entry of the segmenter: settings, logging, metrics, run."""

from __future__ import annotations

from faust import Worker

from services.segmenter.app import Segmenter
from shared import logging, metrics
from shared.settings import SegmenterSettings


def run(settings: SegmenterSettings) -> None:
    """Run until SIGTERM."""
    logging.configure(settings, "segmenter")
    segmenter = Segmenter(settings)
    metrics.serve(settings, segmenter.not_ready_because)
    Worker(segmenter.app, quiet=True, override_logging=False, redirect_stdouts=False).execute_from_commandline()

"""Dead letters are chosen by reasons and places that exist."""

import pytest
from typer.testing import CliRunner

from services.segmenter.commands import app


@pytest.mark.parametrize("command", ["list", "show", "replay"])
def test_a_reason_that_there_is_not_is_refused_with_those_there_are(command):
    refused = CliRunner().invoke(app, ["dead-letters", command, "--reason", "unknown_org"])
    assert refused.exit_code == 2
    assert "is no reason" in refused.output
    assert "duplicate_sale" in refused.output

"""Log lines are facts in JSON, and never hold what an exception quotes."""

from __future__ import annotations

import json

import pytest
import structlog

from service_kit import logs


def test_an_exception_tells_its_place_but_not_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("tests")
    log = structlog.get_logger()
    try:
        int("+15550100999x")
    except ValueError:
        log.exception("it_failed", batch=3)
    line = capsys.readouterr().out
    assert "5550100999" not in line
    fact = json.loads(line)
    assert (fact["event"], fact["raised"], fact["batch"], fact["service"]) == (
        "it_failed",
        "ValueError",
        3,
        "tests",
    )
    assert any("test_logs.py" in frame for frame in fact["at_frames"])

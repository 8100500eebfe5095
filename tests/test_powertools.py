"""The function's log: every line says whose it is, and keeps what every line promises."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest

from csv_transcode.powertools import Powertools
from csv_transcode.report import Outcome
from csv_transcode.telemetry import log_event

Lines = Callable[[], list[dict[str, Any]]]
TRACE: Final = "1-5759e988-bd862e3fe1be46a994272793"


class Context:
    function_name = "csv-transcode-dev"
    aws_request_id = "request-1"


class Next(Context):
    aws_request_id = "request-2"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Return what reads the lines of standard error since it was last called."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_says_which_invocation_it_is_of(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1")
    shown = Powertools({})
    shown.begin(Context())
    log_event(shown.configure("INFO"), logging.INFO, "object.converted", key="in/a.csv", outcome=Outcome.CONVERTED)
    (line,) = lines()
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "event": "object.converted",
        "service": "csv-transcode",
        "cold_start": True,
        "function_name": "csv-transcode-dev",
        "function_request_id": "request-1",
        "xray_trace_id": TRACE,
        "key": "in/a.csv",
        "outcome": "converted",
    }


def test_the_next_invocation_is_another_and_no_cold_start(lines: Lines) -> None:
    shown = Powertools({"POWERTOOLS_SERVICE_NAME": "orders"})
    shown.begin(Context())
    logger = shown.configure("INFO")
    shown.begin(Next())
    log_event(logger, logging.INFO, "e")
    (line,) = lines()
    assert (line["service"], line["cold_start"], line["function_request_id"]) == ("orders", False, "request-2")


def test_with_provisioned_concurrency_no_start_is_cold(lines: Lines) -> None:
    shown = Powertools({"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"})
    shown.begin(Context())
    log_event(shown.configure("INFO"), logging.INFO, "e")
    assert lines()[0]["cold_start"] is False


@pytest.mark.parametrize("context", [None, object()])
def test_without_a_context_a_line_has_what_there_is(lines: Lines, context: object) -> None:
    shown = Powertools({})
    shown.begin(context)
    log_event(shown.configure("INFO"), logging.INFO, "e", key="k")
    (line,) = lines()
    assert line.keys() == {"timestamp", "level", "event", "service", "cold_start", "key"}


@pytest.mark.parametrize("text", ["a\nb", "\x00", "\x1b[31mred", "\x85", "\u2028", "\u202e", "é", "\ud800", "{}", "7"])
def test_no_key_and_no_event_can_forge_a_line(capsys: pytest.CaptureFixture[str], text: str) -> None:
    shown = Powertools({})
    shown.begin(Context())
    log_event(shown.configure("INFO"), logging.INFO, text, key=text)
    written = capsys.readouterr().err
    assert written.endswith("}\n")
    assert written[:-1].isascii()
    assert written[:-1].isprintable()
    line = json.loads(written)
    assert (line["event"], line["key"]) == (text, text)


def test_no_field_can_take_the_place_of_what_says_whose_line_it_is(lines: Lines) -> None:
    shown = Powertools({})
    shown.begin(Context())
    fields: dict[str, Any] = {
        "function_request_id": "forged",
        "level": "forged",
        "service": "forged",
        "message": "kept",
    }
    log_event(shown.configure("INFO"), logging.INFO, "e", **fields)
    (line,) = lines()
    assert (line["function_request_id"], line["level"], line["service"]) == ("request-1", "INFO", "csv-transcode")
    assert line["message"] == "kept"


def test_no_key_can_flood_the_log(lines: Lines) -> None:
    log_event(Powertools({}).configure("INFO"), logging.INFO, "x" * 10_000, key="k" * 1_000_000, keys=["k"] * 1000)
    (line,) = lines()
    assert (len(line["event"]), len(line["key"]), len(line["keys"])) == (1025, 1025, 50)


def test_an_error_is_told_on_the_same_line_whoever_logs_it(lines: Lines) -> None:
    logger = Powertools({}).configure("INFO")
    try:
        int("why\nnot")
    except ValueError as error:
        log_event(logger, logging.ERROR, "object.failed", error=error)
        logger.exception("by logging itself")
    ours, logging_s = lines()
    assert ours["error"] == r"ValueError: invalid literal for int() with base 10: 'why\nnot'"
    assert logging_s["error"] == "ValueError"
    assert "test_powertools" in ours["traceback"]
    assert "test_powertools" in logging_s["traceback"]


@pytest.mark.parametrize(("level", "written"), [("DEBUG", 2), ("INFO", 1), ("ERROR", 0)])
def test_the_level_decides_also_where_it_changes(lines: Lines, level: str, written: int) -> None:
    Powertools({}).configure("CRITICAL")
    logger = Powertools({}).configure(level)
    log_event(logger, logging.DEBUG, "s3.request")
    log_event(logger, logging.INFO, "object.converted")
    assert len(lines()) == written


def test_lambda_s_own_log_level_wins(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", "ERROR")
    with pytest.warns(UserWarning, match="Advanced Logging Controls"):
        logger = Powertools({}).configure("INFO")
    log_event(logger, logging.INFO, "object.converted")
    assert lines() == []

"""Logs: one JSON object a line, whatever is logged."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from csv_transcode.report import Outcome
from csv_transcode.telemetry import configure_logging, log_event
from tests.profiles import examples
from tests.standing import inline_runtime, processor, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client


def logged(event: str, /, *, level: str = "INFO", **fields: Any) -> dict[str, Any]:
    """Return the one line that an event makes, read back."""
    stream = io.StringIO()
    log_event(configure_logging(level, stream), logging.INFO, event, **fields)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2
    assert lines[1] == ""
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_an_event_is_one_line_with_its_fields() -> None:
    line = logged(
        "object.converted", key="in/a.csv", records=3, seconds=0.25, version_id=None, outcome=Outcome.CONVERTED
    )
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "event": "object.converted",
        "key": "in/a.csv",
        "records": 3,
        "seconds": 0.25,
        "version_id": None,
        "outcome": "converted",
    }


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\n{}", "\x00", "\x1b[31mred", "\x7f", "\x85", "\u2028", "\u202e", "é", "\ud800"]
)
def test_no_key_can_forge_a_line(text: str) -> None:
    stream = io.StringIO()
    log_event(configure_logging("INFO", stream), logging.INFO, "object.failed", key=text)
    written = stream.getvalue()
    assert written.endswith("}\n")
    assert written[:-1].isascii()
    assert written[:-1].isprintable()
    assert json.loads(written)["key"] == text


def test_no_key_can_flood_the_log() -> None:
    line = logged("x" * 10_000, key="k" * 1_000_000, keys=["k" * 2000] * 1000, nested=[[[[[["deep"]]]]]], many={1, 2})
    assert len(json.dumps(line)) < 100_000
    assert line["key"] == "k" * 1024 + "…"
    assert len(line["keys"]) == 50
    assert line["nested"] == [[["1 items"]]]


def test_no_field_can_take_the_place_of_level_event_or_time() -> None:
    stream = io.StringIO()
    fields: dict[str, Any] = {"level": "FORGED", "event": "forged", "timestamp": "never", "logger": "kept"}
    log_event(configure_logging("INFO", stream), logging.INFO, "object.converted", **fields)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"], line["logger"]) == ("INFO", "object.converted", "kept")
    assert line["timestamp"] != "never"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, object, b"bytes", {1: {2: 3}}, (1, 2)])
def test_values_that_json_lacks_are_told_as_texts_or_lists(value: object) -> None:
    assert "field" in logged("event", field=value)


def test_a_value_that_cannot_be_told_does_not_break_the_log() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert logged("event", field=Broken())["field"] == "Broken"


def test_an_error_is_told_with_its_traceback_on_the_same_line() -> None:
    with pytest.raises(ValueError, match="why") as caught:
        int("why\nnot")
    line = logged("object.failed", error=caught.value)
    assert line["error"] == r"ValueError: invalid literal for int() with base 10: 'why\nnot'"
    assert "test_telemetry" in line["traceback"]


@pytest.mark.parametrize(("level", "lines"), [("DEBUG", 1), ("INFO", 1), ("WARNING", 0), ("CRITICAL", 0)])
def test_the_level_decides_what_is_written(level: str, lines: int) -> None:
    stream = io.StringIO()
    log_event(configure_logging(level, stream), logging.INFO, "object.converted")
    assert len(stream.getvalue().splitlines()) == lines


def test_configured_twice_it_writes_once_and_only_there() -> None:
    first, second, root = io.StringIO(), io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(root)
    logging.getLogger().addHandler(handler)
    try:
        configure_logging("INFO", first)
        log_event(configure_logging("INFO", second), logging.INFO, "object.converted")
    finally:
        logging.getLogger().removeHandler(handler)
    assert (first.getvalue(), len(second.getvalue().splitlines()), root.getvalue()) == ("", 1, "")


def test_ordinary_log_calls_come_out_in_the_same_form() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream).warning("%d of %s", 3, "in/a\nb.csv")
    assert json.loads(stream.getvalue())["event"] == "3 of in/a\nb.csv"


ANYTHING = st.recursive(st.none() | st.text() | st.floats() | st.integers(), st.lists, max_leaves=5)


@examples(100)
@given(st.dictionaries(st.text(max_size=5), ANYTHING, max_size=4))
def test_any_fields_make_one_line_of_json(fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    log_event(configure_logging("INFO", stream), logging.INFO, "event", fields=fields)
    assert len(stream.getvalue().splitlines()) == 1
    assert json.loads(stream.getvalue(), parse_constant=pytest.fail)["event"] == "event"


def test_a_library_that_nobody_configured_prints_nothing() -> None:
    """Python's last resort would print the bare names of the events."""
    code = "import logging; from csv_transcode import telemetry as t; t.log_event(t.get_logger(), logging.ERROR, 'e')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("", "")


# --- at DEBUG


@pytest.fixture
def conversion_lines(s3: S3Client) -> Callable[[str], list[dict[str, Any]]]:
    """Return what converts two objects at a level, and returns the log's lines."""

    def convert(level: str) -> list[dict[str, Any]]:
        for key in ("in/day.csv", "in/week.csv"):
            put(s3, "id,name\n1,a\n", key)
        stream = io.StringIO()
        configure_logging(level, stream)
        sizes = iter(range(1000, 10**9))
        runtime = replace(inline_runtime(), resident_bytes=lambda: next(sizes))
        with processor(s3, runtime) as made:
            made.run()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return convert


def test_at_debug_every_request_and_every_file_s_stages_and_memory_are_told(
    conversion_lines: Callable[[str], list[dict[str, Any]]],
) -> None:
    lines = conversion_lines("DEBUG")
    asked = Counter((line["operation"], line["key"], line["status"]) for line in lines if line["event"] == "s3.request")
    assert asked[("ListObjectsV2", "in/", 200)] == 1
    for name in ("day", "week"):
        assert asked[("GetObject", f"in/{name}.csv", 200)] == 1
        assert asked[("GetObject", f"processed/_manifests/{name}.csv.json", 404)] == 1
        written = [f"processed/{name}.parquet", f"processed/{name}.avro", f"processed/_manifests/{name}.csv.json"]
        assert [asked[("PutObject", key, 200)] for key in written] == [1, 1, 1]
    told = {line["key"]: line for line in lines if line["event"] == "object.stages"}
    assert told.keys() == {"in/day.csv", "in/week.csv"}
    for line in told.values():
        assert line["level"] == "DEBUG"
        assert line["seconds"].keys() == {"read", "decode", "parquet", "avro", "publish"}
        assert min(line["seconds"].values()) > 0  # by a clock that ticks when it is asked
    assert 1000 < told["in/day.csv"]["peak_memory_bytes"] < told["in/week.csv"]["peak_memory_bytes"]


def test_above_debug_none_of_it_is_told_and_nothing_hung_into_the_client(
    s3: S3Client, conversion_lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    hung: list[str] = []
    register = s3.meta.events.register

    def noted(name: str, *args: Any, **kwargs: Any) -> None:
        hung.append(name)
        register(name, *args, **kwargs)

    s3.meta.events.register = noted
    assert {line["event"] for line in conversion_lines("INFO")} == {"object.converted"}
    assert not [name for name in hung if not name.startswith("response-received")]  # which adapts the concurrency

"""CloudWatch's Embedded Metric Format, read as its specification says; what breaks a rule of it is an AssertionError.

From "Specification: Embedded metric format" in the CloudWatch user guide: structure, reference targets and limits. A
line that breaks one of them is a log line like any other to CloudWatch, and the metric is lost without a word.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

NAMESPACE_MAX: Final = 1024
DIMENSIONS_MAX: Final = 30
DIMENSION_VALUE_MAX: Final = 1024
METRICS_MAX: Final = 100  # of one directive
VALUES_MAX: Final = 100  # of one metric
NAME_MAX: Final = 1024
EVENT_BYTES_MAX: Final = 256 * 1024
UNITS: Final = frozenset(
    [
        *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
        *(f"{size}{what}" for size in ("Kilo", "Mega", "Giga", "Tera") for what in ("bytes", "bits")),
        *(f"{size}{what}/Second" for size in ("Kilo", "Mega", "Giga", "Tera") for what in ("bytes", "bits")),
        *("Bytes", "Bits", "Bytes/Second", "Bits/Second"),
    ]
)


@dataclass(frozen=True)
class Metric:
    """One metric of one line: what CloudWatch would keep."""

    namespace: str
    dimensions: dict[str, str]
    name: str
    unit: str
    values: tuple[float, ...]


def metrics_of(line: str) -> list[Metric]:
    """Return what a log line tells CloudWatch; nothing where it is no such line."""
    if '"_aws"' not in line:
        return []
    assert len(line.encode()) <= EVENT_BYTES_MAX
    root = json.loads(line, parse_constant=_no_number)
    about = root["_aws"]
    assert set(about) == {"Timestamp", "CloudWatchMetrics"}
    assert type(about["Timestamp"]) is int
    assert 1_700_000_000_000 < about["Timestamp"] < 10_000_000_000_000  # milliseconds, not seconds
    return list(chain.from_iterable(_of_directive(root, directive) for directive in about["CloudWatchMetrics"]))


def _of_directive(root: dict[str, Any], directive: dict[str, Any]) -> list[Metric]:
    assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
    assert 1 <= len(directive["Namespace"]) <= NAMESPACE_MAX
    assert not directive["Namespace"].startswith("AWS/")
    assert len(directive["Metrics"]) <= METRICS_MAX
    return [
        _metric(root, directive["Namespace"], _dimensions(root, names), definition)
        for names in directive["Dimensions"]
        for definition in directive["Metrics"]
    ]


def _dimensions(root: dict[str, Any], names: list[str]) -> dict[str, str]:
    assert len(names) <= DIMENSIONS_MAX
    found = {name: root[name] for name in names}
    for name, value in found.items():
        assert name.isascii()
        assert not name.startswith(":")
        assert isinstance(value, str)
        assert 1 <= len(value.strip()) <= len(value) <= DIMENSION_VALUE_MAX
    return found


def _metric(root: dict[str, Any], namespace: str, dimensions: dict[str, str], definition: dict[str, Any]) -> Metric:
    assert set(definition) <= {"Name", "Unit", "StorageResolution"}
    assert 1 <= len(definition["Name"]) <= NAME_MAX
    assert definition["Unit"] in UNITS
    assert definition.get("StorageResolution", 60) in (1, 60)
    target = root[definition["Name"]]
    values = tuple(target) if isinstance(target, list) else (target,)
    assert 1 <= len(values) <= VALUES_MAX
    assert all(type(value) in (int, float) for value in values)
    return Metric(namespace, dimensions, definition["Name"], definition["Unit"], values)


def _no_number(text: str) -> None:
    raise AssertionError(text)

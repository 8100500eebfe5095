"""Structured logs: one JSON object a line, over the standard library's logging.

A line has a timestamp, a level, an event (``object.converted``) and that event's fields. Control characters are escaped
and lengths are capped, so that no key can forge or flood a log. By design no field holds a cell's value.

In the function, ``powertools.py`` adds whose line it is; from the command line and in a library these are all there is.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from csv_transcode.report import ObjectResult

LOGGER_NAME: Final = "csv_transcode"
TEXT_SHOWN_MAX: Final = 1024
TRACE_SHOWN_MAX: Final = 8192
ITEMS_SHOWN_MAX: Final = 50
DEPTH_SHOWN_MAX: Final = 3
WHOLE_BITS_MAX: Final = 64
_TRACEBACK: Final = "traceback"
FIELDS: Final = "event_fields"  # the attribute of a record that holds them


def get_logger() -> logging.Logger:
    """Return the package's logger. As in any library, it writes nothing of its own until it is configured.

    The handler that does nothing keeps Python's last resort from printing bare event names to a notebook.
    """
    logger = logging.getLogger(LOGGER_NAME)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


def configure_logging(
    level: str, stream: TextIO | None = None, formatter: logging.Formatter | None = None
) -> logging.Logger:
    """Make the package's logger write lines of at least ``level`` to ``stream`` (standard error), and nowhere else.

    Called again, it replaces what it did before.
    """
    logger = get_logger()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter or LineFormatter())
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    # Lambda's own handler on the root logger would write every line a second time, as text.
    logger.propagate = False
    return logger


def log_event(
    logger: logging.Logger, level: int, event: str, /, *, error: BaseException | None = None, **fields: object
) -> None:
    """Log one event with its fields; ``error`` adds its type, message and traceback."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", event, extra={FIELDS: fields | _told(error)})


class LineFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in ASCII, without its line end."""
        head = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
        }
        return line(head, getattr(record, FIELDS, {}) | _told(record.exc_info[1] if record.exc_info else None))


class LinesOnly:
    """What is to be seen of a function's invocations: the package's lines, and nothing else."""

    def begin(self, context: object) -> None:
        """Take note of the invocation that begins."""

    def configure(self, level: str) -> logging.Logger:
        """Make the package's logger write lines of at least ``level``."""
        return configure_logging(level)

    def measure(self, results: Iterable[ObjectResult]) -> None:
        """Tell what became of the invocation's objects, in figures."""


def line(head: Mapping[str, object], fields: Mapping[str, object]) -> str:
    """Return one JSON object, in ASCII, of bounded length.

    What is in ``head`` comes first, and keeps its value, whatever the fields are called.
    """
    shown = {name: _shown(value) for name, value in head.items()}
    told = {str(name): _trace(value) if name == _TRACEBACK else _shown(value) for name, value in fields.items()}
    return json.dumps(shown | told | shown, ensure_ascii=True)


def _told(error: BaseException | None) -> dict[str, object]:
    if error is None:
        return {}
    return {"error": f"{type(error).__name__}: {error}", _TRACEBACK: "".join(traceback.format_exception(error))}


def _trace(text: object) -> str:
    """Return the end of a traceback, which is the part that says where."""
    return str(text)[-TRACE_SHOWN_MAX:]


def _shown(value: object, depth: int = 0) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Return a value that JSON can hold, of bounded length, width and depth."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= WHOLE_BITS_MAX:
        return int(value)
    if isinstance(value, float) and value - value == 0:  # neither infinite nor nan, which JSON lacks
        return value
    if isinstance(value, Mapping | Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray):
        return _shown_items(value, depth + 1)
    text = value if isinstance(value, str) else _text_of(value)
    return text if len(text) <= TEXT_SHOWN_MAX else f"{text[:TEXT_SHOWN_MAX]}…"


def _shown_items(value: Mapping[Any, Any] | Sequence[Any] | set[Any] | frozenset[Any], depth: int) -> Any:  # noqa: ANN401 - as above
    if depth > DEPTH_SHOWN_MAX:
        return f"{len(value)} items"
    if isinstance(value, Mapping):
        first = list(value.items())[:ITEMS_SHOWN_MAX]
        return {_shown(str(name)): _shown(item, depth) for name, item in first}
    return [_shown(item, depth) for item in list(value)[:ITEMS_SHOWN_MAX]]


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a log line must not be what fails
        return type(value).__name__

"""Structured logs: one JSON object a line, over the standard library's logging.

A line has a timestamp, a level, an event (``object.converted``) and that event's fields. Control characters are escaped
and lengths are capped, so that no key can forge or flood a log. By design no field holds a cell's value.
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
    from typing import TextIO

LOGGER_NAME: Final = "csv_transcode"
TEXT_SHOWN_MAX: Final = 1024
TRACE_SHOWN_MAX: Final = 8192
ITEMS_SHOWN_MAX: Final = 50
DEPTH_SHOWN_MAX: Final = 3
WHOLE_BITS_MAX: Final = 64
_FIELDS: Final = "event_fields"


def get_logger() -> logging.Logger:
    """Return the package's logger. As in any library, it writes nothing of its own until it is configured.

    The handler that does nothing keeps Python's last resort from printing bare event names to a notebook.
    """
    logger = logging.getLogger(LOGGER_NAME)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


def configure_logging(level: str, stream: TextIO | None = None) -> logging.Logger:
    """Make the package's logger write lines of at least ``level`` to ``stream`` (standard error), and nowhere else.

    Called again, it replaces what it did before.
    """
    logger = get_logger()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    # Lambda's own handler on the root logger would write every line a second time, as text.
    logger.propagate = False
    return logger


def log_event(
    logger: logging.Logger, level: int, event: str, /, *, error: BaseException | None = None, **fields: object
) -> None:
    """Log one event with its fields; ``error`` adds its type, message and traceback."""
    logger.log(level, "%s", event, extra={_FIELDS: fields}, exc_info=error)


class LineFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in ASCII, without its line end."""
        shown: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": _shown(record.getMessage()),
        }
        fields = {str(name): _shown(value) for name, value in getattr(record, _FIELDS, {}).items()}
        if record.exc_info and record.exc_info[1]:
            fields["error"] = _shown(f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}")
            fields["traceback"] = _trace(record.exc_info[1])
        # The first three keep their places and values, whatever fields are called.
        return json.dumps(shown | fields | shown, ensure_ascii=True)


def _trace(error: BaseException) -> str:
    """Return the end of the traceback, which is the part that says where."""
    return "".join(traceback.format_exception(error))[-TRACE_SHOWN_MAX:]


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

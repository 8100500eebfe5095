"""Traces, where they are asked for (``TRACES``): OpenTelemetry spans that follow the work into other threads.

    invocation ─┬─ list
                └─ object ── read, decode, parquet, avro, publish

Off, nothing is imported and no span is made. On, the spans go wherever the process has been told to send them: in the
function by the ADOT layer, elsewhere by ``opentelemetry-instrument``. Nothing here exports anything.
"""

from __future__ import annotations

import logging
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from csv_transcode.telemetry import get_logger, log_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

T = TypeVar("T")

INSTRUMENTATION: Final = "csv_transcode"
# X-Ray keeps a span's attributes as metadata, which it does not search, but for those that this attribute names.
INDEXED: Final = "aws.xray.annotations"


class Span:
    """Something that takes a while; this one is not told to anybody."""

    def tell(self, **attributes: str | float) -> None:
        """Say more of it: names of ``a-z_``, and never what a cell holds."""

    def fail(self, error: BaseException) -> None:
        """Say that it has failed, and by what class of error: its words may quote what a cell holds."""


class Tracer:
    """Makes spans; this one makes none."""

    def span(self, name: str, /, **attributes: str | float) -> AbstractContextManager[Span]:  # noqa: ARG002 -- as below
        """Return a span for as long as a block takes; those begun inside it, in its thread, are its children."""
        return _NOTHING

    def span_aside(self, name: str, /, **attributes: str | float) -> AbstractContextManager[Span]:  # noqa: ARG002 -- as below
        """Return a span that gets no children, for a block that is left and entered again: a generator's."""
        return _NOTHING

    def following(self, executor: Executor) -> Executor:
        """Return ``executor`` such that spans of its tasks are children of the one in which they were submitted."""
        return executor


_NOTHING: Final = nullcontext(Span())
OFF: Final = Tracer()


def make_tracer(*, wanted: bool) -> Tracer:
    """Return a tracer that makes spans, if they are wanted and OpenTelemetry is there; that it is not, is logged."""
    if not wanted:
        return OFF
    try:
        return _OpenTelemetryTracer()
    except ImportError as error:
        log_event(get_logger(), logging.WARNING, "traces.unavailable", reason=str(error))
        return OFF


class _OpenTelemetryTracer(Tracer):
    """Makes spans by the provider that the process has."""

    def __init__(self) -> None:
        from opentelemetry import trace  # noqa: PLC0415 -- 30 ms, and a layer, that only who asks for traces pays

        self._trace = trace
        self._tracer = trace.get_tracer(INSTRUMENTATION)

    @contextmanager
    def span(self, name: str, /, **attributes: str | float) -> Iterator[Span]:
        with (
            self.span_aside(name, **attributes) as span,
            self._trace.use_span(span.made, record_exception=False, set_status_on_exception=False),
        ):
            yield span

    @contextmanager
    def span_aside(self, name: str, /, **attributes: str | float) -> Iterator[_OpenTelemetrySpan]:
        span = _OpenTelemetrySpan(self._tracer.start_span(name), self._trace.StatusCode.ERROR)
        span.tell(**attributes)
        try:
            yield span
        except GeneratorExit:  # nobody wants to know more: no failure
            raise
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            span.made.end()

    def following(self, executor: Executor) -> Executor:
        return _FollowingExecutor(executor)


class _OpenTelemetrySpan(Span):
    """One of OpenTelemetry's."""

    def __init__(self, made: Any, error: Any) -> None:  # noqa: ANN401 -- OpenTelemetry's, which may not be installed
        self.made = made
        self._error = error
        self._told: dict[str, str | float] = {}

    def tell(self, **attributes: str | float) -> None:
        if attributes:
            self._told |= attributes
            self.made.set_attributes(attributes | {INDEXED: tuple(self._told)})

    def fail(self, error: BaseException) -> None:
        self.made.set_status(self._error, type(error).__name__)


class _FollowingExecutor(Executor):
    """Another's threads, in which tasks run in the context that they were submitted in."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 -- as Executor
        return self._executor.submit(copy_context().run, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- as Executor
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

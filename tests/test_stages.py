"""What a conversion spends its time on: each stage its own, whichever thread it is in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from csv_transcode.pipeline import REJECTS, Pools, transcode
from csv_transcode.stages import AVRO, DECODE, PARQUET, PUBLISH, READ, SPANS_MAX, STAGES, Stages
from csv_transcode.tracing import Span, Tracer
from tests.s3.executors import InlineExecutor
from tests.test_pipeline import MemoryTarget, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """Stands still, but for what is spent."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


class Named(Tracer):
    """Keeps the names of the spans."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextmanager
    def span(self, name: str, /, **_: Any) -> Iterator[Span]:
        self.names.append(name)
        yield Span()


class Chunks:
    """A source whose chunks take two seconds each, and that wants to be closed."""

    closed = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = [b"a", b"b", b"c"]

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        self._clock.spend(2)
        if not self._left:
            raise StopIteration
        return self._left.pop(0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spent(stages: Stages) -> dict[str, float]:
    return {stage: seconds for stage, seconds in stages.seconds().items() if seconds}


def test_a_stage_is_what_is_spent_in_it(clock: Clock) -> None:
    stages = Stages(clock)
    for stage, seconds in ((AVRO, 1.0), (PUBLISH, 0.5), (AVRO, 2.0)):
        with stages.at(stage):
            clock.spend(seconds)
        clock.spend(10)
    assert spent(stages) == {AVRO: 3.0, PUBLISH: 0.5}
    assert tuple(stages.seconds()) == STAGES


def test_reading_is_no_part_of_the_decoding_that_asks_for_it(clock: Clock) -> None:
    stages = Stages(clock)

    def stripes(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            clock.spend(0.25)
            yield chunk

    with closing(stages.reading(lambda: Chunks(clock))) as chunks:
        for _ in stages.each(DECODE, stripes(chunks)):
            clock.spend(100)  # what is done with a stripe is nobody's here
    assert spent(stages) == {READ: 8.0, DECODE: 0.75}


def test_what_an_output_still_waits_for_is_of_its_format(clock: Clock) -> None:
    """The end of an upload waits for its last parts: after everything is encoded, and before it is published."""

    class Slow(MemoryTarget):
        seconds = 0.0

        def finish(self) -> None:
            clock.spend(self.seconds)

    def targets() -> dict[str, Slow]:
        made = {form: Slow() for form in ("parquet", "avro", REJECTS)}
        for target, seconds in zip(made.values(), (3.0, 5.0, 7.0), strict=True):
            target.seconds = seconds
        return made

    stages, threads = Stages(clock), InlineExecutor()
    transcode(lambda: [b"id,text\n1,one\n"], targets, plan_of(), Pools(threads, threads, 1), stages)
    assert spent(stages) == {PARQUET: 3.0, AVRO: 5.0, PUBLISH: 7.0}


def test_a_source_that_is_left_is_closed(clock: Clock) -> None:
    chunks = Chunks(clock)
    with closing(Stages(clock).reading(lambda: chunks)) as reading:
        assert next(reading) == b"a"
    assert chunks.closed


def test_what_ends_with_an_error_has_taken_its_time(clock: Clock) -> None:
    stages = Stages(clock)

    def breaks() -> Iterator[bytes]:
        clock.spend(3)
        raise ConnectionResetError
        yield b""

    with pytest.raises(ConnectionResetError), closing(stages.reading(breaks)) as chunks, stages.at(DECODE):
        next(chunks)
    assert spent(stages) == {READ: 3.0}


def test_threads_add_up_and_none_is_lost() -> None:
    stages = Stages(lambda: 0.0)

    def work(_: int) -> None:
        with stages.at(PARQUET):
            stages._leave(PARQUET, 1.0)

    with ThreadPoolExecutor(4) as threads:
        for _ in stages.each(DECODE, range(100)):
            list(threads.map(work, range(20)))
            assert len(stages._left) <= 1 + 2 * 20  # of one round: what was left before is added up
    assert spent(stages) == {PARQUET: 100 * 20.0}


def test_the_largest_resident_set_is_kept_where_it_is_watched(clock: Clock) -> None:
    sizes = iter([10, 40, 30])
    stages = Stages(clock, resident_bytes=lambda: next(sizes))
    for stage in (READ, AVRO, PUBLISH):
        with stages.at(stage):
            pass
    assert stages.peak_bytes() == 40
    assert Stages(clock).peak_bytes() == 0


def test_of_a_large_object_the_first_spans_of_each_stage_are_enough(clock: Clock) -> None:
    tracer = Named()
    stages = Stages(clock, tracer)
    for _ in range(10 * SPANS_MAX):
        with stages.at(AVRO):
            clock.spend(1)
    with stages.at(PUBLISH):
        pass
    assert tracer.names == [AVRO] * SPANS_MAX + [PUBLISH]
    assert spent(stages) == {AVRO: 10.0 * SPANS_MAX}

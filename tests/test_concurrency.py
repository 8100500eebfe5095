"""How many at once: what lowers the limits, how far, and how they rise again; under a clock of the test's own."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec.structs import replace

from csv_transcode.concurrency import AdaptiveConcurrency
from csv_transcode.deadline import Deadline
from csv_transcode.errors import DeadlineError
from csv_transcode.fanout import Gate, GatedExecutor, fan_out
from csv_transcode.report import Outcome
from csv_transcode.runtime import Runtime
from csv_transcode.telemetry import LOGGER_NAME, get_logger
from tests.s3.executors import InlineExecutor
from tests.standing import KEY, inline_runtime, patient_client, processor, put
from tests.trouble import Trouble, answered, troubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

NEVER: Final = Deadline.never()
GIB: Final = 1 << 30


class Machine:
    """A clock and a resident set that the test moves, and limits of 16 objects and 32 parts that look at them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.resident = 0
        runtime = Runtime(
            clock=lambda: self.now,
            resident_bytes=lambda: self.resident,
        )
        self.limits = AdaptiveConcurrency(runtime, objects_max=16, parts_max=32, memory_bytes=GIB)

    @property
    def seen(self) -> tuple[int, int]:
        return self.limits.objects(), self.limits.parts()

    def answer(self, seconds: float, times: int = 1, operation: str = "GetObject", *, throttled: bool = False) -> None:
        for _ in range(times):
            self.limits.answered(operation, seconds, throttled=throttled)


class TestThrottling:
    def test_halves_both_limits_once_a_second(self) -> None:
        machine = Machine()
        assert machine.seen == (16, 32)
        seen = []
        for now in (0, 0.5, 1, 1.9, 2, 3, 4, 5, 6, 7):
            machine.now = now
            machine.answer(0.01, throttled=True)
            seen.append(machine.seen)
        assert seen == [(8, 16), (8, 16), (4, 8), (4, 8), (2, 4), (1, 2), *[(1, 1)] * 4]

    @pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "ListObjectsV2", "HeadObject", "Whatever"])
    def test_of_any_operation_counts(self, operation: str) -> None:
        machine = Machine()
        machine.answer(0.01, operation=operation, throttled=True)
        assert machine.seen == (8, 16)

    def test_is_made_up_for_slowly_once_it_has_ended(self) -> None:
        """A sixtieth of the whole a second, however often somebody looks."""
        machine = Machine()
        for now in (0, 1, 2):
            machine.now = now
            machine.answer(0.01, throttled=True)
        seen = {}
        for tenth in range(20, 700):
            machine.now = tenth / 10
            seen[machine.now] = machine.seen
        assert seen[6.9] == (2, 4)  # calm for less than five seconds
        assert seen[7.5] == (2, 4)
        assert [seen[now][0] for now in (12, 22, 37, 52, 59, 60)] == [3, 6, 10, 14, 15, 16]
        assert seen[69.9] == (16, 32)

    def test_that_goes_on_keeps_them_down_and_is_told_while_they_fall(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", LOGGER_NAME)
        get_logger().propagate = True
        machine = Machine()
        for now in range(60):
            machine.now = now
            machine.answer(0.01, throttled=True)
        assert machine.seen == (1, 1)
        told = {id(record): record.getMessage() for record in caplog.records}  # some handlers see a record twice
        assert list(told.values()) == ["concurrency.lowered"] * 5

    def test_that_comes_again_takes_half_of_what_there_is_by_then(self) -> None:
        machine = Machine()
        machine.answer(0.01, throttled=True)
        machine.now = 20  # fifteen seconds of rising: a quarter of the whole
        assert machine.seen == (12, 24)
        machine.answer(0.01, throttled=True)
        assert machine.seen == (6, 12)

    def test_nobody_is_in_the_way_of_who_does_not_look(self) -> None:
        machine = Machine()
        machine.answer(0.01, throttled=True)
        machine.now = 1000
        assert machine.seen == (16, 32)


class TestLatency:
    @pytest.mark.parametrize(
        ("usual", "later", "times", "falls"),
        [
            (0.02, 0.5, 20, True),
            (0.02, 0.5, 1, False),  # one slow answer among many
            (0.01, 0.1, 1000, False),  # ten times as long, and yet short
            (0.5, 0.9, 1000, False),
            (0.5, 4.0, 20, True),
            (0.5, 0.01, 1000, False),
        ],
    )
    def test_counts_against_what_was_usual(self, usual: float, later: float, times: int, *, falls: bool) -> None:
        machine = Machine()
        machine.answer(usual, 1000)
        machine.answer(later, times)
        assert (machine.seen < (16, 32)) == falls

    def test_that_is_high_from_the_beginning_is_usual(self) -> None:
        machine = Machine()
        machine.answer(5.0, 1000)
        assert machine.seen == (16, 32)

    def test_of_the_first_answers_says_nothing(self) -> None:
        machine = Machine()
        machine.answer(0.01, 40)
        machine.answer(5.0, 9)
        assert machine.seen == (16, 32)

    def test_that_stays_becomes_usual(self) -> None:
        machine = Machine()
        machine.answer(0.01, 100)
        for second in range(200):
            machine.now = second
            machine.answer(1.0, 10)
        assert machine.seen == (16, 32)

    def test_lowers_the_limits_to_a_quarter_and_no_further(self) -> None:
        machine = Machine()
        machine.answer(0.01, 10_000)
        for second in range(6):
            machine.now = second
            machine.answer(1.0, 10)
        assert machine.seen == (4, 8)
        machine.answer(1.0, throttled=True)
        assert machine.seen == (2, 4)  # that does

    @pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "CompleteMultipartUpload"])
    def test_of_what_is_sent_depends_on_its_size_and_says_nothing(self, operation: str) -> None:
        machine = Machine()
        machine.answer(0.01, 100, operation)
        machine.answer(30.0, 100, operation)
        assert machine.seen == (16, 32)

    def test_is_compared_within_one_operation(self) -> None:
        machine = Machine()
        for _ in range(200):
            machine.answer(0.01, 1, "HeadObject")
            machine.answer(2.0, 1, "GetObject")
        assert machine.seen == (16, 32)


class TestMemory:
    def test_that_is_short_halves_the_limits_until_there_is_some(self) -> None:
        machine = Machine()
        machine.resident = int(0.89 * GIB)
        assert machine.seen == (16, 32)
        assert machine.limits.has_memory()
        machine.resident = int(0.91 * GIB)
        assert machine.seen == (8, 16)
        assert not machine.limits.has_memory()
        machine.now = 1
        assert machine.seen == (4, 8)
        machine.resident = 0
        assert machine.limits.has_memory()
        machine.now = 6 + 15
        assert machine.seen == (8, 16)

    def test_that_is_short_lets_one_conversion_in_at_a_time(self, s3: S3Client) -> None:
        put(s3, b"id\n1\n")
        machine = replace(inline_runtime(), resident_bytes=lambda: GIB)
        with processor(s3, machine, memory_budget_mb=512) as made:
            made.run()
            at = made._machinery.converter._at
            with at.gate.admit(1, NEVER), pytest.raises(DeadlineError), at.gate.admit(1, over()):
                pytest.fail("beside another")


def over() -> Deadline:
    return Deadline(lambda: 0).begun(10)


class TestFanOut:
    def test_holds_to_a_limit_that_changes(self) -> None:
        """Of what is under way, nothing is interrupted: it is let go of."""
        running = Running()

        def limit() -> int:
            return 4 if running.submitted < 8 else 1 if running.submitted < 14 else 3

        fanned = fan_out(running, int, range(20), limit, deadline=running, given_up=lambda item: -item)  # type: ignore[arg-type]
        assert sorted(fanned) == list(range(20))
        assert running.counts == [1, 2, 3, 4, 4, 4, 4, 4, *[1] * 6, 2, 3, 3, 3, 3, 3]


class Running(Executor):
    """Tasks that are under way until somebody waits for them, and then the oldest ends; also a deadline that waits."""

    is_over = False

    def __init__(self) -> None:
        self.futures: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.submitted = 0
        self.counts: list[int] = []  # under way, after each submission

    @property
    def count(self) -> int:
        return len(self.futures)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append((Future(), lambda: fn(*args, **kwargs)))
        self.submitted += 1
        self.counts.append(self.count)
        return self.futures[-1][0]

    def end_one(self) -> Future[Any]:
        future, work = self.futures.pop(0)
        future.set_result(work())
        return future

    def wait(self, _futures: object, _when: str) -> set[Future[Any]]:
        return {self.end_one()}


class TestGatedExecutor:
    def test_no_more_tasks_are_under_way_than_the_gate_lets_in(self) -> None:
        threads = Running()
        counts: list[int] = []

        class Ends(threading.Condition):
            def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
                assert timeout is not None
                if not predicate():
                    counts.append(threads.count)
                    threads.end_one()
                return predicate()

        executor = GatedExecutor(threads, Gate(Runtime(condition=Ends), lambda: 3), NEVER)
        futures = [executor.submit(lambda number=number: number) for number in range(10)]
        assert counts == [3] * 7
        while threads.count:
            threads.end_one()
        assert [future.result() for future in futures] == list(range(10))

    def test_tasks_that_fail_are_cancelled_or_never_begin_leave_room(self) -> None:
        gate = Gate(Runtime(), lambda: 1)
        failing = GatedExecutor(InlineExecutor(), gate, over())
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                failing.submit(lambda: 1 / 0).result()
        waiting = GatedExecutor(Running(), gate, over())
        for _ in range(3):
            waiting.submit(int).cancel()
        for _ in range(3):
            with pytest.raises(RuntimeError):
                GatedExecutor(Closed(), gate, over()).submit(int)

    def test_nobody_waits_for_the_gate_beyond_the_deadline(self) -> None:
        executor = GatedExecutor(Running(), Gate(Runtime(condition=Impatient), lambda: 1), over())
        executor.submit(int)
        with pytest.raises(DeadlineError):
            executor.submit(int)


class Impatient(threading.Condition):
    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        assert timeout is not None
        return predicate()


class Closed(Executor):
    def submit(self, _fn: Callable[..., Any], /, *_args: Any, **_kwargs: Any) -> Future[Any]:
        raise RuntimeError


def test_a_processor_that_s3_throttles_does_less_at_once(imitated: None) -> None:  # noqa: ARG001 -- first the buckets
    client = patient_client()
    put(client, b"id\n1\n")
    with processor(client, inline_runtime()) as made:
        assert made._concurrency.objects() == 20
        with troubled(client, Trouble(2, answered(503, "SlowDown"))):
            assert made.convert(KEY).outcome is Outcome.FAILED
        assert made._concurrency.objects() == 10
        assert made.convert(KEY).outcome is Outcome.CONVERTED


def test_parts_of_conversions_wait_for_the_gate_and_what_publishes_does_not(s3: S3Client) -> None:
    put(s3, b"id\n1\n")
    with processor(s3, inline_runtime()) as made:
        made.run()
        at = made._machinery.converter._at
        with at.parts_gate.admit(1000, NEVER):
            with pytest.raises(DeadlineError):
                at.part_threads(over()).submit(int)
            assert made.run(force=True).results[0].outcome is Outcome.CONVERTED

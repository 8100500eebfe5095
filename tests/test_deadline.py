"""The end of an invocation: nothing is begun that cannot finish, and who waits looks at the time."""

from __future__ import annotations

import gc
import hashlib
import math
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec.structs import replace

from csv_transcode.deadline import ANSWER_SHARE, RATE_BYTES_LEAST, REACTION_SECONDS, Deadline, Pace
from csv_transcode.errors import DeadlineError, TooLongError
from csv_transcode.events import EventKind, EventObject, Invocation, Sweep
from csv_transcode.fanout import Gate, fan_out
from csv_transcode.report import Outcome
from csv_transcode.runtime import Runtime
from csv_transcode.s3.reader import open_source
from csv_transcode.telemetry import LOGGER_NAME, get_logger
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.imitation import Imitated
from tests.s3.executors import InlineExecutor
from tests.s3.faults import before, list_by, operations, record
from tests.standing import (
    KEY,
    MANIFEST,
    inline_runtime,
    patient_client,
    processor,
    put,
    require_truth,
    standing,
    uploads,
)
from tests.trouble import KINDS, Trouble, doing, troubled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from csv_transcode.report import RunReport

PART: Final = 20_000
MARGIN: Final = 10.0
SMALL: Final = b"id,text\n1,one\n2,two\n"
LARGE: Final = b"id,text\n" + b"".join(
    b"%d,%s\n" % (number, hashlib.sha256(b"%d" % number).hexdigest().encode()) for number in range(900)
)
COMMITTING: Final = ("PutObject", "CompleteMultipartUpload")
HELD: Final = ("ObjectUpload", "Stripe", "Source", "_Visit", "_Encoding", "_Scan", "Reject")
WAITED_MAX: Final = 30  # so that a test that would hang fails


@dataclass
class Clock:
    """Time that passes when a test says so; ``ends`` is when the invocation does."""

    now: float = 0.0
    ends: float = math.inf

    def __call__(self) -> float:
        return self.now

    def deadline(self, seconds: float, margin: float = MARGIN) -> Deadline:
        """Return the deadline of an invocation that begins now and has ``seconds``."""
        return self.lambda_context(seconds).begun(margin)

    def lambda_context(self, seconds: float) -> Deadline:
        self.ends = self.now + seconds
        return Deadline(lambda: (self.ends - self.now) * 1000)


class TestDeadline:
    @pytest.mark.parametrize(
        ("passed", "usable", "over", "must_answer"),
        [
            (0, 50, False, False),
            (49.5, 0.5, False, False),
            (50, 0, True, False),
            (57.9, -7.9, True, False),
            (58, -8, True, True),
            (61, -11, True, True),
        ],
        ids=["at first", "before the margin", "in the margin", "before the answer", "to be answered", "too late"],
    )
    def test_it_has_a_margin_and_in_it_time_to_answer(
        self, passed: float, usable: float, *, over: bool, must_answer: bool
    ) -> None:
        clock = Clock()
        deadline = clock.deadline(60)
        clock.now += passed
        assert deadline.usable_seconds == pytest.approx(usable)
        assert (deadline.is_over, deadline.must_answer) == (over, must_answer)

    def test_what_is_required_after_it_says_how_much_is_left_of_what(self) -> None:
        clock = Clock()
        deadline = clock.deadline(60)
        deadline.require()
        clock.now += 51
        with pytest.raises(
            DeadlineError, match=r"9\.0 s of 60\.0 s are left, DEADLINE_MARGIN_SECONDS keeps 10"
        ) as told:
            deadline.require()
        assert told.value.retryable

    def test_never_is_never(self) -> None:
        deadline = Deadline.never().begun(MARGIN)
        deadline.require()
        assert not deadline.is_over
        executor = InlineExecutor()
        assert deadline.bounding(executor) is executor

    @pytest.mark.parametrize(("left", "seconds"), [(900, 1), (10.5, 0.5), (10, 1), (2.25, 0.25), (2, 0), (-5, 0)])
    def test_nobody_waits_long_without_looking(self, left: float, seconds: float) -> None:
        assert Clock().deadline(left).reaction_seconds() == pytest.approx(seconds)
        assert REACTION_SECONDS == 1
        assert MARGIN * ANSWER_SHARE == 2


class Waits(threading.Condition):
    """A lock whose waiting takes the clock's time, and nobody's."""

    clock: Clock

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        if not predicate():
            assert timeout is not None, "waits without end"
            self.clock.now += timeout
        return predicate()


class TestBoundedExecutor:
    def test_nothing_is_submitted_after_the_deadline(self) -> None:
        clock, executor = Clock(), InlineExecutor()
        bounded = clock.deadline(60).bounding(executor)
        assert bounded.submit(lambda: 1).result() == 1
        clock.now += 50
        with pytest.raises(DeadlineError):
            bounded.submit(lambda: 2)
        assert executor.submitted == 1

    def test_no_result_is_waited_for_beyond_it(self) -> None:
        """Whoever runs by then goes on: what it raises is nobody's."""
        clock, go_on, begun = Clock(), threading.Event(), threading.Event()
        with ThreadPoolExecutor(1) as threads:

            def work() -> None:
                begun.set()
                go_on.wait(WAITED_MAX)

            future = clock.deadline(60).bounding(threads).submit(work)
            assert begun.wait(WAITED_MAX)
            clock.now += 50
            with pytest.raises(DeadlineError):
                future.result()
            assert not future.cancel()
            clock.now += 8
            assert isinstance(future.exception(), DeadlineError)
            go_on.set()
        assert future.done()
        assert future.exception() is None

    def test_a_result_that_is_there_is_returned_at_any_time_and_so_is_what_was_raised(self) -> None:
        clock = Clock()
        bounded = clock.deadline(60).bounding(InlineExecutor())
        done, failed, late = bounded.submit(int), bounded.submit(int, "x"), bounded.submit(_too_slow)
        clock.now += 100
        assert done.result() == 0
        assert isinstance(failed.exception(), ValueError)
        with pytest.raises(TimeoutError, match="its own"):
            late.result()

    def test_a_result_that_comes_just_as_the_wait_ends_is_returned(self) -> None:
        """Who waits has been told that it is not there, and asks whether it is: a moment in which it may come."""

        class JustThen(Future[int]):
            def result(self, timeout: float | None = None) -> int:
                if not self.done():
                    self.set_result(7)
                    raise TimeoutError
                return super().result(timeout)

        class Threads(InlineExecutor):
            def submit(self, *_: Any, **__: Any) -> Future[Any]:
                return JustThen()

        assert Clock().deadline(60).bounding(Threads()).submit(int).result() == 7


def _too_slow() -> None:
    message = "its own"
    raise TimeoutError(message)


class TestPace:
    @staticmethod
    def run(clock: Clock, pace: Pace, size: int, read: list[int], seconds: float) -> Any:
        """Return the progress of a conversion that has read so much in each pass, in so many seconds."""
        progress = pace.begin(size)
        for length in read:
            for _ in progress.counting(lambda length=length: [b"x" * length])():  # type: ignore[misc]
                pass
        clock.now += seconds
        return progress

    @pytest.mark.parametrize(
        ("size", "read", "seconds", "before", "needed"),
        [
            (1000, [900], 40, 0, None),  # 44 s of 50
            (1000, [100], 40, 0, 400),
            (1000, [799], 40, 0, 50),  # and a little
            (1000, [1000, 100], 40, 0, 73),  # twice through the file
            (1000, [1000, 700], 40, 0, None),
            (1000, [1], 9.9, 40, None),  # too short to tell
            (1000, [1], 10, 40, 10_000),
            (1000, [], 50, 0, None),  # nothing came: no rate
        ],
    )
    def test_what_is_cut_short_fails_if_a_fresh_invocation_would_be_too_short_too(
        self, size: int, read: list[int], seconds: float, before: float, needed: float | None
    ) -> None:
        clock = Clock()
        pace = Pace(clock.deadline(60), Runtime(clock=clock))
        clock.now += before
        progress = self.run(clock, pace, size, read, seconds)
        if needed is None:
            pace.cut_short(progress)
            return
        message = f"needs about {needed} s, the function has 60: raise memory or timeout, or use Fargate"
        with pytest.raises(TooLongError, match=message) as told:
            pace.cut_short(progress)
        assert not told.value.retryable

    def test_a_short_invocation_measures_for_half_of_what_it_has(self) -> None:
        clock = Clock()
        pace = Pace(clock.deadline(14), Runtime(clock=clock))
        pace.cut_short(self.run(clock, pace, 1000, [1], 1.9))
        with pytest.raises(TooLongError):
            pace.cut_short(self.run(clock, pace, 1000, [1], 2))

    def test_what_cannot_finish_at_the_rate_of_others_is_not_begun(self) -> None:
        clock = Clock()
        pace = Pace(clock.deadline(60), Runtime(clock=clock))
        size = RATE_BYTES_LEAST
        pace.finished(self.run(clock, pace, size, [size], 20))
        pace.finished(self.run(clock, pace, size - 1, [size - 1], 0.001))  # small ones tell nothing
        clock.now += 15
        pace.begin(size // 2)
        with pytest.raises(DeadlineError, match="not begun: it needs about 20 s, and 15 s are left"):
            pace.begin(size)
        with pytest.raises(DeadlineError, match="not begun: it needs about 80 s"):  # alone, it may be faster
            pace.begin(4 * size)

    def test_what_has_just_begun_is_not_judged_even_by_the_rate_of_others(self) -> None:
        clock = Clock()
        pace = Pace(clock.deadline(60), Runtime(clock=clock))
        size = RATE_BYTES_LEAST
        other = self.run(clock, pace, size, [size], 15)
        large = self.run(clock, pace, size * 3, [1], 0)
        pace.finished(other)
        clock.now += 9.9
        pace.cut_short(large)
        clock.now += 0.1
        with pytest.raises(TooLongError, match="raise memory or timeout"):
            pace.cut_short(large)

    def test_nothing_begins_after_the_deadline(self) -> None:
        clock = Clock()
        pace = Pace(clock.deadline(60), Runtime(clock=clock))
        clock.now += 50
        with pytest.raises(DeadlineError):
            pace.begin(1)


class TestGate:
    def test_nobody_waits_for_memory_beyond_the_deadline(self) -> None:
        clock = Clock()
        waits = type("Waits", (Waits,), {"clock": clock})
        gate = Gate(Runtime(clock=clock, condition=waits), lambda: 100)
        deadline = clock.deadline(60)
        with gate.admit(60, deadline), pytest.raises(DeadlineError), gate.admit(60, deadline):
            pytest.fail("there was no room")
        assert 50 <= clock.now <= 50 + REACTION_SECONDS
        with gate.admit(100, Deadline.never()):
            pass


class TestFanOut:
    def test_nothing_is_begun_after_the_deadline(self) -> None:
        clock = Clock()
        deadline = clock.deadline(60)

        def work(item: int) -> int:
            clock.now += 20
            return item

        fanned = fan_out(InlineExecutor(), work, range(1, 6), lambda: 1, deadline=deadline, given_up=lambda item: -item)
        assert list(fanned) == [1, 2, 3, -4, -5]

    def test_who_does_not_end_is_given_up_when_the_answer_is_due(self) -> None:
        clock, go_on, begun = Clock(), threading.Event(), threading.Barrier(3)
        deadline = clock.deadline(60)

        def work(item: int) -> int:
            begun.wait(WAITED_MAX)
            if item > 1:
                go_on.wait(WAITED_MAX)
            return item

        with ThreadPoolExecutor(3) as threads:
            fanned = fan_out(threads, work, [1, 2, 3], lambda: 4, deadline=deadline, given_up=lambda item: -item)
            assert next(fanned) == 1
            clock.now += 58
            assert list(fanned) == [-2, -3]
            go_on.set()


# ---------------------------------------------------------------- whole conversions


@pytest.fixture
def client(imitated: None, monkeypatch: pytest.MonkeyPatch) -> S3Client:  # noqa: ARG001 -- first the buckets
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr(open_source, "__kwdefaults__", {**(open_source.__kwdefaults__ or {}), "range_parts": 1})
    return patient_client()


def handled(client: S3Client, clock: Clock, *keys: str, seconds: float = 60, **overrides: Any) -> RunReport:
    """Handle an event that names ``keys``, or the whole prefix, as an invocation that has ``seconds``."""
    objects = tuple(EventObject(key) for key in keys)
    sweep = None if keys else Sweep("in/", overrides.pop("start_after", None))
    with processor(client, replace(inline_runtime(), clock=clock), part_bytes=PART, **overrides) as made:
        return made.handle(Invocation(EventKind.DIRECT, objects, sweep=sweep), clock.lambda_context(seconds))


def passing(clock: Clock, number: int, seconds: float) -> Trouble:
    """Return the trouble that request ``number`` takes so long."""

    def pass_time() -> None:
        clock.now += seconds

    return Trouble(number, doing(pass_time))


class TestConversion:
    @pytest.mark.long
    @pytest.mark.parametrize("old", [False, True], ids=["where nothing stands", "over an older one"])
    @pytest.mark.parametrize("source", [SMALL, LARGE], ids=["small", "large"])
    def test_time_runs_out_at_any_request(self, client: S3Client, source: bytes, *, old: bool) -> None:
        """What has not begun to commit is taken back and deferred; what has is finished. A fresh invocation ends it."""
        before_it: dict[str, bytes] = {}
        if old:
            put(client, b"id,text\n0,old\n")
            handled(client, Clock(), KEY)
            before_it = standing(client)
        outcomes: list[Outcome] = []
        sent: list[str] = []
        for number in range(1, 100):
            Imitated.fill(OUTPUT_BUCKET, before_it)
            put(client, source)
            clock = Clock()
            # it begins late, so that its own rate is not known yet
            with troubled(client, passing(clock, 1, 44)), troubled(client, passing(clock, number, 7)) as trouble:
                report = handled(client, clock, KEY)
            sent = trouble.sent
            if len(sent) < number:
                break
            (result,) = report.results
            outcomes.append(result.outcome)
            if result.outcome is Outcome.DEFERRED:
                assert (report.status_code, result.retryable) == (206, True)
                assert standing(client) == before_it
            assert uploads(client) == []
            (again,) = handled(client, Clock(), KEY).results
            assert again.outcome is (Outcome.CONVERTED if result.outcome is Outcome.DEFERRED else Outcome.SKIPPED)
            assert require_truth(client, source, b"id,text\n0,old\n") == {MANIFEST: "committed"}
        committing = next(place for place, name in enumerate(sent) if name in COMMITTING)
        assert set(outcomes[:committing]) == {Outcome.DEFERRED}
        assert set(outcomes[committing:]) == {Outcome.CONVERTED}
        assert ("UploadPart" in sent) == (source is LARGE)

    def test_one_that_no_fresh_invocation_could_do_fails_and_says_what_to_do(self, client: S3Client) -> None:
        put(client, LARGE)
        clock = Clock()
        with troubled(client, passing(clock, 3, 51)):  # the second of three ranges
            (result,) = handled(client, clock, KEY, seconds=60.5).results
        assert (result.outcome, result.retryable) == (Outcome.FAILED, False)
        assert result.reason is not None
        assert result.reason.endswith("s, the function has 60: raise memory or timeout, or use Fargate")
        assert list(standing(client)) == ["processed/_failed/day.csv.json"]
        assert uploads(client) == []

    def test_an_attempt_that_has_read_nothing_is_not_judged_by_the_one_before(self, client: S3Client) -> None:
        """It was read in no time, lost to another writer, and then S3 was slow: a fresh invocation could do it."""
        put(client, SMALL)
        clock = Clock()

        def pass_time() -> None:
            clock.now += 51

        before(client, "GetObject", 3, pass_time)  # the manifest, once more
        with troubled(client, KINDS["overtaken"](3)):  # the first output
            (result,) = handled(client, clock, KEY).results
        assert (result.outcome, result.retryable) == (Outcome.DEFERRED, True)

    def test_an_invocation_without_time_asks_for_nothing(
        self, client: S3Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("WARNING", LOGGER_NAME)
        get_logger().propagate = True
        put(client, SMALL)
        sent = record(client)
        report = handled(client, Clock(), KEY, "in/other.csv", seconds=MARGIN)
        assert [result.outcome for result in report.results] == [Outcome.DEFERRED] * 2
        assert operations(sent) == []
        report = handled(client, Clock(), seconds=MARGIN)
        assert (report.results, report.next, report.status_code) == ((), "", 206)
        assert operations(sent) == []
        told = {id(record): record.getMessage() for record in caplog.records}  # some handlers see a record twice
        assert list(told.values()) == ["deadline.margin_takes_all"] * 2

    def test_the_margin_is_a_setting(self, client: S3Client) -> None:
        put(client, SMALL)
        (result,) = handled(client, Clock(), KEY, seconds=MARGIN, deadline_margin_seconds=9.0).results
        assert result.outcome is Outcome.CONVERTED

    @pytest.mark.long
    def test_nothing_of_it_is_left_in_memory(self, client: S3Client) -> None:
        """Pieces of the source, stripes, uploads: who keeps the report keeps none of them."""
        put(client, LARGE)
        clock = Clock()
        with troubled(client, passing(clock, 1, 44)), troubled(client, passing(clock, 7, 7)):
            report = handled(client, clock, KEY)
        assert report.results[0].outcome is Outcome.DEFERRED
        gc.collect()
        assert not [one for one in gc.get_objects() if type(one).__name__ in HELD]


class TestNextInvocation:
    """Whatever became of one, the next finds nothing of it: in memory, in the cache, on disk, or behind the gates."""

    @pytest.mark.long
    @pytest.mark.parametrize("late", [0, 7], ids=["finished", "cut short"])
    @pytest.mark.parametrize("source", [LARGE, b"\x1f\x8b" + LARGE], ids=["good", "bad"])
    def test_finds_nothing_of_the_one_before(
        self, client: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: bytes, late: float
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        put(client, source)
        clock = Clock()
        with processor(client, replace(inline_runtime(), clock=clock), part_bytes=PART) as made:
            made.read_s3_file(INPUT_BUCKET, KEY)
            with troubled(client, passing(clock, 1, 44)), troubled(client, passing(clock, 4, late)):
                invocation = Invocation(EventKind.DIRECT, (EventObject(KEY),))
                report = made.handle(invocation, clock.lambda_context(60))
            made.end_invocation()
            at = made._machinery.converter._at
            assert (at.gate._taken, at.parts_gate._taken) == (0, 0)
            gc.collect()
            assert not [one for one in gc.get_objects() if type(one).__name__ in HELD]
            assert (made._cache._objects, made._cache._bytes) == ({}, 0)
        assert len(report.results) == 1  # which is kept until it is answered
        assert list(tmp_path.iterdir()) == []


class TestSweep:
    NAMES: Final = tuple(f"in/{number}.csv" for number in range(4))

    def fill(self, client: S3Client) -> None:
        for name in self.NAMES:
            put(client, SMALL, name)
        list_by(client, 2)

    @pytest.mark.long
    def test_one_that_is_cut_at_any_request_goes_on_after_next_and_loses_nothing(self, client: S3Client) -> None:
        self.fill(client)
        for number in range(1, 100):
            Imitated.fill(OUTPUT_BUCKET, {})
            clock = Clock()
            with troubled(client, passing(clock, number, 51)) as trouble:
                first = handled(client, clock)
            if len(trouble.sent) < number:
                break
            assert first.status_code == (200 if first.next is None else 206)
            assert all(result.key > (first.next or "") for result in first.having(Outcome.DEFERRED))
            if first.next is not None:
                later = handled(client, Clock(), start_after=first.next)
                assert {result.key for result in later.results} == {name for name in self.NAMES if name > first.next}
                assert later.next is None
            assert list(require_truth(client, SMALL).values()) == ["committed"] * 4
        assert number > 4 * 5 + 2

    def test_next_stays_before_the_first_that_is_deferred(self, client: S3Client) -> None:
        self.fill(client)
        clock = Clock()
        with troubled(client, passing(clock, 1 + 5 + 1, 51)):  # the second object's manifest
            report = handled(client, clock)
        assert report.next == "in/0.csv"
        assert [(one.key, one.outcome.value) for one in report.results] == [
            ("in/0.csv", "converted"),
            ("in/1.csv", "deferred"),
        ]

    def test_one_that_comes_to_its_end_has_no_next(self, client: S3Client) -> None:
        self.fill(client)
        assert handled(client, Clock()).next is None

    def test_a_listing_that_hangs_is_not_waited_for(self, client: S3Client) -> None:
        self.fill(client)
        clock, go_on = Clock(), threading.Event()
        pages = 0

        def hang(**_: object) -> None:
            nonlocal pages
            pages += 1
            if pages == 2:
                clock.now += 51
                go_on.wait(WAITED_MAX)

        client.meta.events.register_first("before-send.s3.ListObjectsV2", hang)
        with processor(client, Runtime(clock=clock)) as made:
            report = made.handle(Invocation(EventKind.DIRECT, sweep=Sweep("in/")), clock.lambda_context(60))
            go_on.set()
        assert report.next in ("", *self.NAMES[:2])
        assert [result.key for result in report.results] == list(self.NAMES[:2])
        assert pages == 2


def test_a_conversion_that_hangs_does_not_hold_up_the_answer(client: S3Client) -> None:
    """It is deferred, and what becomes of it is true: it may still commit, for it holds its claim."""
    put(client, SMALL)
    clock, go_on = Clock(), threading.Event()

    def hang(**_: object) -> None:
        clock.now += 58
        go_on.wait(WAITED_MAX)

    client.meta.events.register_first("before-send.s3.PutObject", hang)
    with processor(client, Runtime(clock=clock)) as made:
        report = made.handle(Invocation(EventKind.DIRECT, (EventObject(KEY),)), clock.lambda_context(60))
        go_on.set()
    assert [result.outcome for result in report.results] == [Outcome.DEFERRED]
    assert require_truth(client, SMALL) == {MANIFEST: "committed"}

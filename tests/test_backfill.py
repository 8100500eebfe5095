"""A backfill: what it would do and cost, how it is followed, and what came of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec.structs import replace

from csv_transcode.backfill import Counts, Execution, Function, asked_of_machine, follow, machine_of, summary_of
from csv_transcode.backfill_plan import (
    BATCH_ITEMS_MAX,
    BATCH_SHARE,
    Facility,
    Plan,
    Prices,
    Source,
    batch_items_for,
    described,
    estimated,
    planned,
)
from csv_transcode.errors import BackfillError
from csv_transcode.keys import KeyMap
from csv_transcode.runtime import Runtime
from tests.infra.test_statemachine import VALUES, filled_text

if TYPE_CHECKING:
    from collections.abc import Iterator

MB: Final = 1_000_000
NOON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY_MAP: Final = KeyMap("in/", "processed/", "{output_prefix}{stem}.{format}", "landing", "lake")
FACILITY: Final = Facility(2048, 300, "arm64", 20)
# What performance_comparison.md has measured: the function of the demo, on one object that is all processor.
LINEITEM_BYTES: Final = 229 * MB
LINEITEM_CPU_SECONDS: Final = 5.05


def source(name: str, size: int = MB, minutes: int = 0, *, archived: bool = False) -> Source:
    return Source(f"in/{name}", size, NOON + timedelta(minutes=minutes), archived)


def plan_of(objects: int, size: int, standing: int = 0) -> Plan:
    every = [source(f"{number:07}.csv", size) for number in range(objects + standing)]
    manifests = {KEY_MAP.map(one.key).manifest: NOON for one in every[objects:]}
    return planned(every, manifests, KEY_MAP)


class TestPlan:
    def test_counts_what_is_new_what_seems_to_stand_and_what_is_no_source(self) -> None:
        plan = planned(
            [
                source("new.csv", 3 * MB),
                source("changed.csv", 5 * MB, minutes=1),
                source("standing.csv", 7 * MB),
                source("same-moment.csv", 2 * MB, minutes=-1),
                source("notes.md"),
                source("folder/"),
                source("frozen.csv", archived=True),
            ],
            {f"processed/_manifests/{name}.csv.json": NOON for name in ("changed", "standing", "same-moment", "gone")},
            KEY_MAP,
        )
        assert (plan.objects, plan.bytes, plan.largest_bytes) == (2, 8 * MB, 5 * MB)
        assert (plan.standing, plan.standing_bytes) == (2, 9 * MB)
        assert dict(plan.skipped) == {
            "its suffix is not one of a CSV source": 1,
            "a folder marker (ends in /)": 1,
            "archived, and not restored": 1,
        }
        assert plan.listed == 7


class TestEstimate:
    def test_of_one_large_object_is_what_was_measured(self) -> None:
        # One function with one processor takes the CPU seconds that were measured.
        one = replace(FACILITY, memory_mb=1769)
        assert one.seconds_of(LINEITEM_BYTES) == pytest.approx(LINEITEM_CPU_SECONDS, rel=0.02)

    @pytest.mark.parametrize(("memory_mb", "times"), [(1024, 0.5), (2048, 1.0), (3538, 1.7275), (10_240, 1.7275)])
    def test_speed_follows_the_memory_as_far_as_it_was_measured(self, memory_mb: int, times: float) -> None:
        speed = replace(FACILITY, memory_mb=memory_mb).megabytes_a_second
        assert speed / FACILITY.megabytes_a_second == pytest.approx(times, rel=0.001)

    def test_no_backfill_is_faster_than_its_largest_object(self) -> None:
        estimate = estimated(plan_of(1, 10_000 * MB), FACILITY, Prices())
        assert estimate.seconds == pytest.approx(FACILITY.seconds_of(10_000 * MB) + 2.0)
        many = planned([source("0.csv", 10_000 * MB), *(source(f"{n}.csv") for n in range(1, 99))], {}, KEY_MAP)
        assert estimated(many, FACILITY, Prices()).seconds == pytest.approx(estimate.seconds, rel=0.01)

    def test_twice_as_many_functions_take_half_the_time_and_hardly_more_money(self) -> None:
        plan = plan_of(20_000, 5 * MB)
        one, two = (estimated(plan, replace(FACILITY, max_concurrency=count), Prices()) for count in (20, 40))
        assert one.seconds / two.seconds == pytest.approx(2, rel=0.02)
        assert two.dollars_total / one.dollars_total == pytest.approx(1, rel=0.02)

    def test_more_functions_than_batches_change_nothing(self) -> None:
        plan = plan_of(100, MB)
        many = estimated(plan, replace(FACILITY, max_concurrency=1000), Prices(), 10)
        assert (many.concurrency, many) == (10, estimated(plan, replace(FACILITY, max_concurrency=10), Prices(), 10))

    def test_dollars_are_the_published_prices_times_what_is_used(self) -> None:
        # By hand: 100 GB at 52.1 MB/s are 1,919 s, 10,000 objects 259 s, 20 starts 40 s: 2,218 s of 2 GB, arm64.
        estimate = estimated(plan_of(10_000, 10 * MB), FACILITY, Prices(), 100)
        assert estimate.batches == 100
        assert estimate.function_seconds == pytest.approx(2_218, rel=0.005)
        assert estimate.dollars["lambda"] == pytest.approx(2_218 * 2 * 0.0000133334, rel=0.005)
        assert estimate.dollars["step_functions"] == pytest.approx(208 * 0.000025)
        # A GET for the manifest, one for the source and one for each further part; PUTs likewise; ten pages of keys.
        parts = 10_000 * 10 * MB // (8 << 20)
        gets, puts = 20_000 + parts, 30_000 + 10 + parts
        assert estimate.dollars["s3_requests"] == pytest.approx(gets * 0.0000004 + puts * 0.000005)
        intel = estimated(plan_of(10_000, 10 * MB), replace(FACILITY, architecture="x86_64"), Prices(), 100)
        assert intel.dollars["lambda"] / estimate.dollars["lambda"] == pytest.approx(1.25, rel=0.001)

    def test_what_stands_costs_two_requests_and_little_time(self) -> None:
        done = estimated(plan_of(0, 10 * MB, standing=10_000), FACILITY, Prices(), 100)
        assert done.batches == 100
        assert done.dollars["s3_requests"] == pytest.approx(20_000 * 0.0000004 + 10 * 0.000005)
        assert (
            done.function_seconds < estimated(plan_of(10_000, 10 * MB), FACILITY, Prices(), 100).function_seconds / 10
        )

    def test_of_nothing_is_nothing(self) -> None:
        estimate = estimated(Plan(), FACILITY, Prices())
        assert (estimate.seconds, estimate.batches, estimate.dollars["s3_requests"]) == (0, 0, 0)

    def test_says_what_it_assumes(self) -> None:
        plan = plan_of(10, MB)
        told = described(plan, estimated(plan, FACILITY, Prices()), FACILITY, Prices())
        assert told["assumes"]["prices"] == {"region": "us-east-1", "read_on": "2026-11-23"}
        assert told["dollars"]["total"] == pytest.approx(
            sum(told["dollars"].values()) - told["dollars"]["total"], abs=1e-3
        )
        assert json.loads(json.dumps(told)) == told


class TestBatches:
    @pytest.mark.parametrize("mean_bytes", [0, 1_000, MB, 30 * MB, 300 * MB, 3_000 * MB, 30_000 * MB])
    def test_end_within_their_share_of_the_timeout(self, mean_bytes: int) -> None:
        items = batch_items_for(mean_bytes, FACILITY)
        assert 1 <= items <= BATCH_ITEMS_MAX
        seconds = FACILITY.seconds_of(mean_bytes * items, items)
        assert seconds <= FACILITY.timeout_seconds * BATCH_SHARE or items == 1
        assert items == BATCH_ITEMS_MAX or FACILITY.seconds_of(mean_bytes * (items + 1), items + 1) > 100


class TestMachine:
    def test_is_told_by_its_own_definition(self) -> None:
        machine = machine_of(Aws([]), "machine")
        assert (machine.function.memory_mb, machine.max_concurrency) == (2048, int(VALUES["MaxConcurrency"]))

    @pytest.mark.parametrize("definition", ["", "{}", '{"States": {"SumUp": {}}}', "[]"])
    def test_another_one_is_refused(self, definition: str) -> None:
        with pytest.raises(BackfillError, match=r"machine is not a backfill: its definition is not that of infra/"):
            machine_of(Aws([], definition), "machine")

    def test_is_asked_for_a_prefix_or_an_inventory(self) -> None:
        assert json.loads(asked_of_machine(prefix="in/ä/")) == {"prefix": "in/ä/"}
        assert json.loads(asked_of_machine(prefix="", max_concurrency=5, batch_items=7)) == {
            "prefix": "",
            "max_concurrency": 5,
            "batch_items": 7,
        }
        assert json.loads(asked_of_machine(inventory=("lists", "a/manifest.json"))) == {
            "inventory": {"bucket": "lists", "key": "a/manifest.json"}
        }


class Aws:
    """A service whose executions go through the statuses that it is given."""

    def __init__(self, statuses: list[Execution], definition: str | None = None) -> None:
        self.left: Iterator[Execution] = iter(statuses)
        self._definition = filled_text() if definition is None else definition

    def start(self, state_machine: str, asked: str, name: str) -> str:
        raise NotImplementedError

    def stop(self, arn: str) -> None:
        raise NotImplementedError

    def execution(self, arn: str) -> Execution:
        assert arn == "arn"
        return next(self.left)

    def counts(self, arn: str) -> Counts:
        assert arn == "arn"
        return Counts(10, 4, 1, 5)

    def definition(self, state_machine: str) -> str:
        assert state_machine == "machine"
        return self._definition

    def function(self, arn: str) -> Function:
        assert arn == VALUES["FunctionArn"]
        return Function(2048, 300, "arm64", {})


class TestFollowing:
    @pytest.mark.parametrize("ended", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
    def test_tells_until_it_has_ended_and_waits_in_between(self, ended: str) -> None:
        clock: list[float] = [0.0]
        told: list[tuple[int, float]] = []

        def sleep(seconds: float) -> None:
            clock[0] += seconds

        aws = Aws([Execution("arn", "RUNNING")] * 3 + [Execution("arn", "PENDING_REDRIVE"), Execution("arn", ended)])
        runtime = replace(Runtime(), clock=lambda: clock[0], sleep=sleep)
        execution = follow(aws, "arn", runtime, lambda counts, seconds: told.append((counts.done, seconds)))
        assert execution.status == ended
        assert [done for done, _ in told] == [5] * 4
        assert [seconds for _, seconds in told] == sorted({seconds for _, seconds in told})


def summary(**files: int) -> dict[str, Any]:
    return {"files": dict.fromkeys(("converted", "skipped", "failed", "deferred"), 0) | files, "results": []}


class TestSummary:
    def test_is_the_output_or_what_it_failed_with(self) -> None:
        good, bad = summary(converted=3), summary(failed=1)
        assert summary_of(Execution("arn", "SUCCEEDED", json.dumps(good))) == good
        failed = Execution("arn", "FAILED", json.dumps(good), error="FilesFailed", cause=json.dumps(bad))
        assert summary_of(failed) == bad

    @pytest.mark.parametrize(
        ("execution", "why"),
        [
            (Execution("arn", "ABORTED"), "arn ended as ABORTED: no reason is given"),
            (Execution("arn", "TIMED_OUT"), "arn ended as TIMED_OUT: no reason is given"),
            (Execution("arn", "FAILED", error="WrongInput", cause="expected"), "FAILED: WrongInput: expected"),
            (Execution("arn", "FAILED", error="FilesFailed", cause="many"), "what it says of it is no summary"),
            (Execution("arn", "FAILED", error="FilesFailed"), "what it says of it is no summary"),
            (Execution("arn", "SUCCEEDED", "{}"), "what it says of it is no summary"),
            (Execution("arn", "SUCCEEDED", '{"files": {"converted": 3}}'), "what it says of it is no summary"),
        ],
    )
    def test_an_end_without_one_is_an_error(self, execution: Execution, why: str) -> None:
        with pytest.raises(BackfillError, match=why):
            summary_of(execution)

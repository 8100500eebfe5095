"""What a backfill would do, how long it might take and what it might cost: sums over listings, and nothing else.

Every figure that is not counted is a named constant, with where it is from; infra_setup.md has them as a table.
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from csv_transcode.keys import KeyMap

MEGABYTE: Final = 1_000_000
GB_MB: Final = 1024

# performance_comparison.md: 229 MB of lineitem in 5.05 CPU seconds, to both outputs.
MB_A_CPU_SECOND: Final = 45.0
MB_OF_A_PROCESSOR: Final = 1769  # of a function's memory: AWS's documentation
PROCESSORS_MEASURED_MAX: Final = 2.0  # nothing is claimed of more
# Of one small object: five requests one after the other, as S3 answers within a region, MAX_WORKERS objects at once; or
# what it costs the processor, 0.030 CPU seconds for each of 600 of about 30 records, and 0.009 to skip one of them.
OBJECT_SECONDS: Final = 0.25
OBJECT_CPU_SECONDS: Final = 0.03
SKIP_SHARE: Final = 0.4  # two requests instead of five
INIT_SECONDS: Final = 2.0  # of each environment, billed; performance_comparison.md measures 1.0 on this machine

REQUESTS_OF_AN_OBJECT: Final = {"get": 2, "put": 3}  # without rejects, in one part
REQUESTS_OF_A_SKIP: Final = {"get": 2, "put": 0}
PART_BYTES: Final = 8 << 20
OUTPUT_BYTES_A_SOURCE_BYTE: Final = 1.0  # both outputs together, in parts
KEYS_A_PAGE: Final = 1000
TRANSITIONS_A_BATCH: Final = 2
TRANSITIONS: Final = 8  # of the state machine itself

BATCH_ITEMS_MAX: Final = 500
BATCH_SHARE: Final = 1 / 3  # of the function's timeout: a batch should end in one invocation, with room for bad luck


class Prices(Struct, frozen=True):
    """Dollars, as AWS publishes them for one region on one day, without free tiers and discounts."""

    region: str = "us-east-1"
    read_on: str = "2026-11-23"
    lambda_gb_second: Mapping[str, float] = field(
        default_factory=lambda: {"x86_64": 0.0000166667, "arm64": 0.0000133334}
    )
    lambda_request: float = 0.20 / 1_000_000
    transition: float = 0.025 / 1_000
    s3_get: float = 0.0004 / 1_000
    s3_put_or_list: float = 0.005 / 1_000


class Source(Struct, frozen=True):
    """One object of the input bucket's listing."""

    key: str
    size: int
    last_modified: datetime
    is_archived: bool = False


class Plan(Struct):
    """What is there, counted: what would be converted, what seems to stand, what is no source and why."""

    objects: int = 0
    bytes: int = 0
    largest_bytes: int = 0
    standing: int = 0
    standing_bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, source: Source, reason: str | None, manifest_modified: datetime | None) -> None:
        """Count one object: skipped for ``reason``, or beside a manifest of that age, or new.

        A manifest no older than its source is taken for its conversion: the listings say no more, and the function
        looks closer.
        """
        if reason is not None or source.is_archived:
            self.skipped[reason or "archived, and not restored"] += 1
        elif manifest_modified is not None and manifest_modified >= source.last_modified:
            self.standing += 1
            self.standing_bytes += source.size
        else:
            self.objects += 1
            self.bytes += source.size
            self.largest_bytes = max(self.largest_bytes, source.size)

    @property
    def listed(self) -> int:
        """How many objects the listing has."""
        return self.objects + self.standing + self.skipped.total()


def planned(sources: Iterable[Source], manifests: Mapping[str, datetime], key_map: KeyMap) -> Plan:
    """Return the plan for a listing; ``manifests`` has the age of every manifest by its key."""
    plan = Plan()
    for source in sources:
        reason = key_map.skip_reason(source.key)
        standing = None if reason is not None else manifests.get(key_map.map(source.key).manifest)
        plan.add(source, reason, standing)
    return plan


class Facility(Struct, frozen=True):
    """What a backfill runs on: one function's size, and how many of it at once."""

    memory_mb: int
    timeout_seconds: int
    architecture: str
    max_concurrency: int
    max_workers: int = 20

    @property
    def processors(self) -> float:
        """Return how many processors the memory brings, as far as it was measured."""
        return min(self.memory_mb / MB_OF_A_PROCESSOR, PROCESSORS_MEASURED_MAX)

    @property
    def megabytes_a_second(self) -> float:
        """Return how much one function converts in a second."""
        return MB_A_CPU_SECOND * self.processors

    def seconds_of(self, size: int, objects: int = 1, skips: int = 0) -> float:
        """Return how long one function needs for ``size`` bytes in so many objects, and to skip so many more."""
        each = max(OBJECT_SECONDS / self.max_workers, OBJECT_CPU_SECONDS / self.processors)
        return size / MEGABYTE / self.megabytes_a_second + (objects + SKIP_SHARE * skips) * each


class Estimate(Struct, frozen=True):
    """How long and how much, with what it consists of; seconds are from the first batch to the last."""

    seconds: float
    batches: int
    batch_items: int
    concurrency: int
    function_seconds: float
    dollars: Mapping[str, float]

    @property
    def dollars_total(self) -> float:
        """Return the sum of all the dollars."""
        return sum(self.dollars.values())


def batch_items_for(mean_bytes: float, facility: Facility) -> int:
    """Return how many objects of that size one invocation should get: fewer where they are large, one at least."""
    seconds = facility.seconds_of(ceil(mean_bytes))
    return max(1, min(BATCH_ITEMS_MAX, int(facility.timeout_seconds * BATCH_SHARE / seconds)))


def estimated(plan: Plan, facility: Facility, prices: Prices, batch_items: int | None = None) -> Estimate:
    """Return the estimate for a plan. Items that are skipped are in batches, and paid for, like all the others."""
    total = plan.listed
    items = batch_items or batch_items_for((plan.bytes + plan.standing_bytes) / max(1, total), facility)
    batches = ceil(total / items)
    concurrency = min(facility.max_concurrency, max(1, batches))
    work = facility.seconds_of(plan.bytes, plan.objects, plan.standing)
    alone = facility.seconds_of(plan.largest_bytes, 1 if plan.objects else 0)
    function_seconds = work + (INIT_SECONDS * concurrency if batches else 0.0)
    seconds = max(work / concurrency, alone) + (INIT_SECONDS if batches else 0.0)
    return Estimate(
        seconds,
        batches,
        items,
        concurrency,
        function_seconds,
        _dollars(plan, facility, prices, batches, function_seconds),
    )


def _dollars(plan: Plan, facility: Facility, prices: Prices, batches: int, function_seconds: float) -> dict[str, float]:
    gets, puts = _requests(plan)
    gb_seconds = function_seconds * facility.memory_mb / GB_MB
    return {
        "lambda": gb_seconds * prices.lambda_gb_second[facility.architecture] + (batches + 1) * prices.lambda_request,
        "step_functions": (batches * TRANSITIONS_A_BATCH + TRANSITIONS) * prices.transition,
        "s3_requests": gets * prices.s3_get + puts * prices.s3_put_or_list,
    }


def _requests(plan: Plan) -> tuple[int, int]:
    """Return (requests that read, requests that write or list) in S3."""
    gets = plan.objects * REQUESTS_OF_AN_OBJECT["get"] + plan.standing * REQUESTS_OF_A_SKIP["get"]
    puts = plan.objects * REQUESTS_OF_AN_OBJECT["put"] + ceil(plan.listed / KEYS_A_PAGE)
    parts = plan.bytes // PART_BYTES
    return gets + parts, puts + ceil(parts * OUTPUT_BYTES_A_SOURCE_BYTE)


def described(plan: Plan, estimate: Estimate, facility: Facility, prices: Prices) -> dict[str, Any]:
    """Return plan and estimate for a program, with everything they assume."""
    return {
        "objects": {"converted": plan.objects, "standing": plan.standing, "skipped": plan.skipped.total()},
        "bytes": {"converted": plan.bytes, "standing": plan.standing_bytes, "largest": plan.largest_bytes},
        "skipped": dict(plan.skipped),
        "seconds": round(estimate.seconds, 1),
        "dollars": {name: round(value, 4) for name, value in estimate.dollars.items()}
        | {"total": round(estimate.dollars_total, 4)},
        "batches": estimate.batches,
        "batch_items": estimate.batch_items,
        "concurrency": estimate.concurrency,
        "assumes": {
            "memory_mb": facility.memory_mb,
            "architecture": facility.architecture,
            "megabytes_a_second_a_function": round(facility.megabytes_a_second, 1),
            "seconds_an_object": round(facility.seconds_of(0), 4),
            "prices": {"region": prices.region, "read_on": prices.read_on},
        },
    }

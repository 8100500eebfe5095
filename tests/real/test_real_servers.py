"""What the project promises of real processes and a real S3 server; ``make reliability`` runs the long forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import OUTPUT_BUCKET, not_installed
from tests.real.contention import contended
from tests.real.deadlines import counted_down
from tests.real.function import KillPoint, Request, Task, run_afresh, run_to_the_end
from tests.real.kills import PART_BYTES, SCENARIOS, Scenario, killed, small
from tests.real.kills import large as large_source
from tests.real.many import converted_in_one_run
from tests.real.memory import bomb, cell, columns, large, within_memory
from tests.real.network import Conversions
from tests.real.orders import delivered, orders
from tests.real.place import place
from tests.real.trouble import _installed
from tests.seaweed import NotInstalledError
from tests.standing import KEY, PARQUET, uploads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.memory import Case
    from tests.real.place import Place

pytestmark = pytest.mark.long

# One kill in so many here, all of them in `make reliability`: odd numbers, so that both sides of requests have a turn.
EVERY = {"first": 1, "rejects": 3, "again": 9, "large again": 19}
NETWORKS = ("503, patiently", "all of these", "spoiled answers", "spoiled requests")


@pytest.mark.parametrize(
    "scenario", [one for one in SCENARIOS if one.name in EVERY], ids=lambda scenario: scenario.name
)
def test_whoever_is_killed_at_a_request_leaves_nothing_false_and_the_next_run_converges(
    here: Place, scenario: Scenario
) -> None:
    tally = killed(here, scenario, EVERY[scenario.name])
    assert tally.is_good, str(tally)


@pytest.mark.xfail(strict=True, reason="a small first conversion does not look for uploads, and leaves those of others")
def test_what_a_killed_conversion_left_is_aborted_by_that_of_a_smaller_version(here: Place) -> None:
    environment = here.environment(part_bytes_max=PART_BYTES, parquet_compression="none", avro_codec="null")
    here.put(KEY, large_source(1))
    created = Request(f"POST /{OUTPUT_BUCKET}/{PARQUET}?uploads")
    assert run_afresh(Task(environment, {"keys": [KEY]}, KillPoint(created, after=True))) is None
    here.put(KEY, small("a"))
    assert run_to_the_end(Task(environment, {"keys": [KEY]})).outcomes == {KEY: "converted"}
    assert uploads(here.client) == []


@pytest.fixture(scope="module")
def proxies() -> None:
    try:
        for program in ("envoy", "python"):
            _installed(program)
    except NotInstalledError as error:
        not_installed(str(error))


@pytest.mark.usefixtures("proxies")
def test_over_a_network_that_fails_everything_is_converted_or_reported(here: Place) -> None:
    conversions = Conversions(here, 6, rows=600)
    tallies = [conversions.over(name) for name in NETWORKS]
    assert all(tally.is_good for tally in tallies), "\n".join(map(str, tallies))


@pytest.fixture
def alone() -> Iterator[Place]:
    """Yield a server of its own, for what changes the buckets themselves."""
    try:
        with place() as made:
            yield made
    except NotInstalledError as error:
        not_installed(str(error))


@pytest.mark.integration
def test_of_32_conversions_of_one_key_at_once_one_commits(alone: Place) -> None:
    tally = contended(alone, rounds=1)
    assert tally.is_good, str(tally)


def test_whatever_the_order_of_events_the_newest_version_stands(here: Place) -> None:
    tally = delivered(here, sample=12)
    assert tally.is_good, str(tally)


def test_the_orders_are_all() -> None:
    every = list(orders())
    assert (len(every), len(set(every))) == (2528, 2528)


def test_of_many_objects_the_bad_ones_are_reported_and_the_rest_converted_once(here: Place) -> None:
    tally = converted_in_one_run(here, 80, 5)
    assert tally.is_good, str(tally)


@pytest.mark.parametrize(
    "case", [large(24), bomb(1024), cell(40), columns(100_000, allowed=False)], ids=lambda case: case.name
)
def test_under_512_mb_what_is_large_is_converted_and_what_is_monstrous_is_refused(here: Place, case: Case) -> None:
    tally = within_memory(here, (case,))
    assert tally.is_good, str(tally)


def test_under_512_mb_100000_columns_that_the_settings_allow_are_converted_or_refused(here: Place) -> None:
    tally = within_memory(here, (columns(100_000, allowed=True),))
    assert tally.is_good, str(tally)


@pytest.mark.usefixtures("proxies")
def test_under_a_slow_server_no_invocation_ends_by_timeout(here: Place) -> None:
    tally = counted_down(here, 10, seconds_least=9.0)  # beside other tests
    assert tally.is_good, str(tally)

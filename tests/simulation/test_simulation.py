"""The simulation's own runs, two thousand here (``make simulate``: 100,000), and what is to be seen in all orders."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from tests.simulation import corpus, deliveries, faults
from tests.simulation.deliveries import Delivery
from tests.simulation.run import run
from tests.simulation.world import Shape, World, oracle, simulated

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pyarrow's, of the killed

DAY: Final = "in/day.csv"
EVENTS_MAX: Final = 6
VERSIONS: Final = ("plain 2", "ragged", "plain 5")
AT_ONCE: Final = 32


def hold(seeds: range) -> Counter[str]:
    """Run some seeds; return the faults they met."""
    met: Counter[str] = Counter()
    for seed in seeds:
        ended = run(seed)
        assert ended.broken is None, f"python -m tests.simulation --seed {seed} --trace: {ended.broken}"
        met.update(ended.faults)
    return met


def test_a_few_runs() -> None:
    assert hold(range(20))


@pytest.mark.long
@pytest.mark.spread
@pytest.mark.parametrize("begin", range(20, 2020, 100))
def test_two_thousand_runs(begin: int) -> None:
    met = hold(range(begin, begin + 100))
    assert {"500", "503 SlowDown", faults.RESET, faults.LOST, faults.STALL, *faults.CRASHES} <= met.keys()


@pytest.mark.long
def test_a_seed_gives_the_same_run_in_another_process() -> None:
    def traced(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", "--seed", "11", "--trace"]
        root = Path(__file__).parents[2]
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    assert traced("1") == traced("2")


@pytest.mark.parametrize("name", [name for name, source in corpus.SOURCES.items() if source.good and not source.empty])
def test_what_the_runs_are_compared_with_is_what_other_readers_see(name: str) -> None:
    for variant in corpus.VARIANTS:
        corpus.require_right(corpus.SOURCES[name], variant, oracle(corpus.SOURCES[name], variant))


@pytest.mark.long
def test_all_orders_of_up_to_six_events_of_three_versions() -> None:
    """Whatever has been delivered in whatever order, what was newest then stands; each version is written at the last
    moment before an event names it.
    """
    ends = 0

    def go_on(world: World, written: int, left: int) -> None:
        nonlocal ends
        ends += written == len(VERSIONS)
        for number in range(1, len(VERSIONS) + 1) if left else ():
            following = world.fork()
            for name in VERSIONS[written:number]:
                following.overwrite(DAY, name)
            with simulated(following):
                following.deliver(Delivery(deliveries.NOTIFICATION, (DAY,)))
                following.invariants.require_newest(following.newest, "typed")
            go_on(following, max(written, number), left - 1)

    begun = World(Shape(), random.Random(6))
    go_on(begun, 0, EVENTS_MAX)
    orders = (order for length in range(1, EVENTS_MAX + 1) for order in product((1, 2, 3), repeat=length))
    assert ends == sum(3 in order for order in orders)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "over", [None, pytest.param("plain 2", marks=pytest.mark.long)], ids=["nothing", "an older one"]
)
def test_32_conversions_of_one_key_at_once_make_one_commit(seed: int, over: str | None) -> None:
    world = World(Shape(inline=seed != 0), random.Random(seed))
    with simulated(world):
        if over is not None:
            world.overwrite(DAY, over)
            world.deliver(Delivery(deliveries.DIRECT, (DAY,)))
        world.overwrite(DAY, "ragged")
        before = world.invariants.counts["commits"]
        events = [Delivery(deliveries.NOTIFICATION, (DAY,)) for _ in range(AT_ONCE)]
        for event in events:
            world.invoke(event)
        world.run()
        world.invariants.require_newest(world.newest, "typed")
        assert world.invariants.counts["commits"] - before == 1
        assert any(event.is_done for event in events)
        world.invariants.require_no_uploads({DAY})

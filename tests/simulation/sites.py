"""Every single fault at every request of a conversion; the requests are those that a run without faults makes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.simulation import deliveries
from tests.simulation.deliveries import Delivery
from tests.simulation.invariants import KNOWN_GAPS
from tests.simulation.world import PART_BYTES, Calm, Shape, World, simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.simulation.faults import Call

ROUNDS_MAX: Final = 3
DAY: Final = "in/day.csv"
Site = tuple[str, str]  # operation, and the kind of key


@dataclass(frozen=True)
class Scenario:
    """What stands, and an event: ``versions`` are written and converted one after the other, all but the last ones."""

    versions: tuple[Mapping[str, str], ...]
    kind: deliveries.Kind = deliveries.NOTIFICATION
    shape: Shape = field(default_factory=lambda: Shape(retries_max=0))
    variant: str = "typed"


_SWEPT: Final = {DAY: "ragged", "in/week.txt": "plain 3"}
SCENARIOS: Final[Mapping[str, Scenario]] = {
    "first conversion": Scenario(({DAY: "plain 3"},)),
    "first, with rejects": Scenario(({DAY: "ragged"},)),
    "first, in parts": Scenario(({DAY: "long"},)),
    "first, at once": Scenario(({DAY: "plain 1"},), shape=Shape(retries_max=0, inline=False)),
    "new version": Scenario(({DAY: "plain 3"}, {DAY: "plain 5"})),
    "new version, with rejects": Scenario(({DAY: "zipped"}, {DAY: "ragged"}), kind=deliveries.EVENTBRIDGE),
    "new version, unique ETags": Scenario(
        ({DAY: "ragged"}, {DAY: "plain 5"}), shape=Shape(retries_max=0, unique_etags=True, kms=True, owners=True)
    ),
    "new version, in parts": Scenario(
        ({DAY: "plain 1"}, {DAY: "long"}),
        kind=deliveries.SQS,
        shape=Shape(retries_max=0, part_bytes=2 * PART_BYTES - 1000),
    ),
    "other settings": Scenario(({DAY: "plain 3"}, {}), variant="deflated"),
    "nothing to do": Scenario(({DAY: "plain 3"}, {})),
    "a file that fails": Scenario(({DAY: "bad"},)),
    "a prefix": Scenario((_SWEPT,), kind=deliveries.SWEEP, shape=Shape(retries_max=0, page_keys=1)),
    "a prefix, in ranges": Scenario(
        ({DAY: "mixed"},), kind=deliveries.SWEEP, shape=Shape(retries_max=0, part_bytes=PART_BYTES // 8)
    ),
    "first conversion, repeated": Scenario(({DAY: "plain 3"},), shape=Shape(retries_max=2)),
    "new version, repeated": Scenario(({DAY: "plain 3"}, {DAY: "ragged"}), shape=Shape(retries_max=2)),
}


class Recorder(Calm):
    """Befalls nothing, and remembers what could have."""

    def __init__(self) -> None:
        self.sites: list[tuple[Site, tuple[str, ...]]] = []

    def fault(self, call: Call, kinds: tuple[str, ...]) -> str | None:
        self.sites.append(((call.operation, call.target), tuple(dict.fromkeys(kinds))))
        return None


class Single(Calm):
    """Befalls one request, by its number, once."""

    def __init__(self, number: int, site: Site, kind: str) -> None:
        self.befell = False
        self._left = number
        self._site = site
        self._kind = kind

    def fault(self, call: Call, kinds: tuple[str, ...]) -> str | None:
        if self._left < 0:
            return None
        self._left -= 1
        if self._left >= 0:
            return None
        assert (call.operation, call.target) == self._site, "another request than in the recorded run"
        assert self._kind in kinds
        self.befell = True
        return self._kind


class Overwriting(Calm):
    """Lets something else happen just before one request, by its number."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self._left = number
        self._act = act

    def latency(self) -> float:
        self._left -= 1
        if self._left == -1:
            self._act()
        return super().latency()


def requests_of(scenario: Scenario) -> int:
    """Return how many requests an undisturbed run makes."""
    world = prepared(scenario).fork()
    with simulated(world):
        world.deliver(_delivery(scenario, world), scenario.variant)
    return world.network.calls


def overwrite_before(begun: World, scenario: Scenario, number: int, name: str) -> None:
    """Run the scenario with its source overwritten just before one request; check that its event ends well."""
    world = begun.fork()
    delivery = _delivery(scenario, world)
    world.network.plan = Overwriting(number, lambda: world.overwrite(DAY, name))
    with simulated(world):
        world.deliver(delivery, scenario.variant)
        world.network.plan = Calm()
        _deliver_again(world, scenario, Delivery(deliveries.NOTIFICATION, (DAY,)), set())
        _require_at_rest(world, scenario)


def faults_of(scenario: Scenario) -> Iterator[tuple[int, Site, str]]:
    """Yield the number, the site and the kind of every fault that an undisturbed run of the scenario could have met."""
    recorder = Recorder()
    world = prepared(scenario).fork()
    world.network.plan = recorder
    with simulated(world):
        world.deliver(_delivery(scenario, world), scenario.variant)
    for number, (site, kinds) in enumerate(recorder.sites):
        for kind in kinds:
            yield number, site, kind


def befall(begun: World, scenario: Scenario, number: int, site: Site, kind: str) -> World:
    """Run the scenario with one fault; check that what is answered is true, and that delivering again ends well."""
    world = begun.fork()
    delivery = _delivery(scenario, world)
    world.network.plan = single = Single(number, site, kind)
    fails = {key for key, (source, _) in world.newest.items() if not source.good}
    with simulated(world):
        world.deliver(delivery, scenario.variant)
        assert single.befell
        if delivery.is_done:
            world.invariants.require_newest(world.newest, scenario.variant)
        world.network.plan = Calm()
        world.network.finish_under_way()
        _deliver_again(world, scenario, delivery, fails)
        _require_at_rest(world, scenario)
    return world


def prepared(scenario: Scenario) -> World:
    """Return the world in which the scenario's event is going to come."""
    world = World(scenario.shape, random.Random(4))
    *before, last = scenario.versions
    with simulated(world):
        for versions in before:
            for key, name in versions.items():
                world.overwrite(key, name)
            world.deliver(Delivery(deliveries.DIRECT, tuple(world.newest)))
        for key, name in last.items():
            world.overwrite(key, name)
    return world


def _delivery(scenario: Scenario, world: World) -> Delivery:
    return Delivery(scenario.kind, tuple(sorted(world.newest)))


def _deliver_again(world: World, scenario: Scenario, delivery: Delivery, fails: set[str]) -> None:
    for _ in range(ROUNDS_MAX):
        world.deliver(delivery, scenario.variant)
        if delivery.left <= fails:
            break
    assert delivery.left <= fails, f"{delivery.left} are not done after {ROUNDS_MAX} rounds"


def _require_at_rest(world: World, scenario: Scenario) -> None:
    world.invariants.require_newest(world.newest, scenario.variant)
    assert not any(world.invariants.counts[gap] for gap in KNOWN_GAPS), "a gap, and there is no other writer"
    left = world.invariants.keys_with_uploads()
    if left:
        world.deliver(Delivery(deliveries.FORCED, tuple(sorted(left))), scenario.variant)
        world.invariants.require_no_uploads(left)

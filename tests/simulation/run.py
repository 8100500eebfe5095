"""One run under one seed: a storm of events, overwrites and faults; then calm, events once more, and the reckoning."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.simulation import corpus, deliveries, faults
from tests.simulation.deliveries import Delivery
from tests.simulation.invariants import BrokenError
from tests.simulation.world import PART_BYTES, TIMEOUT_SECONDS, Shape, World, simulated

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.faults import Call

AGAIN_MAX: Final = 1  # events that have been answered and come again, all the same
ROUNDS_MAX: Final = 6  # of delivering again, without faults, until nothing is left to do
KEYS: Final = ("in/day.csv", "in/a b+c%.csv", "in/sub/day.csv.gz", "in/week.txt")
# What a conversion asks of S3 at most, with a claim and nothing lost; each start-over once more; each fault so many.
REQUESTS_A_CONVERSION: Final = 20
REQUESTS_A_FAULT: Final = 3
LATENCIES: Final = (0.01, 0.04, 0.04, 0.04, 0.2, 1.0)  # seconds
REQUESTS_A_SKIP: Final = 2

# What a long run must have seen, beside every fault: a kind that never comes shows nothing.
EVENTS: Final = (
    *("commits", "claims", "skips", "start-overs", "withdrawals", "conversions", "failures", "deferred"),
    *("invocations", "at once", "duplicates", "overwrites in the middle", "versions that came back"),
    *("settings changed", "unique ETags", "KMS", "owners", "delivered again", "quiet sweeps"),
    *("sources deleted", "sources written again", "by awswrangler", *(f"by {kind.name}" for kind in deliveries.KINDS)),
)


@dataclass
class Storm:
    """Faults by chance, until it is calm."""

    chance: random.Random = field(repr=False)
    rate: float
    crash_rate: float
    sick: tuple[int, int] = (0, 0)  # between these calls nearly everything is refused
    calm: bool = False

    def fault(self, call: Call, kinds: tuple[str, ...]) -> str | None:
        """Return what befalls a call."""
        if self.calm:
            return None
        drawn = self.chance.random()
        if drawn < self.crash_rate:
            return self.chance.choice([kind for kind in kinds if kind in faults.CRASHES])
        if self.sick[0] <= call.number < self.sick[1]:
            return self.chance.choice(("500", "503 SlowDown", faults.RESET, None))
        if drawn < self.crash_rate + self.rate:
            return self.chance.choice([kind for kind in kinds if kind not in faults.CRASHES])
        return None

    def place(self, length: int) -> int:
        """Return a byte."""
        return self.chance.randrange(length)

    def latency(self) -> float:
        """Return some seconds, mostly few."""
        return self.chance.random() * self.chance.choice(LATENCIES)


@dataclass
class Ended:
    """What a run came to."""

    seed: int
    broken: BrokenError | None
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def run(seed: int, trace: Callable[[str], None] | None = None) -> Ended:
    """Return what becomes of one seed; the same every time."""
    chance = random.Random(seed)
    shape = _shape(chance)
    storm = _storm(chance)
    world = World(shape, chance, storm, trace)
    if trace:
        trace(f"seed {seed}: {shape}\n{storm}")
    story = _Story(world, storm, chance)
    ended = Ended(seed, None)
    with simulated(world):
        try:
            story.tell()
        except BrokenError as error:
            ended.broken = error
    ended.faults = world.invariants.befallen
    ended.counts = story.reckoning()
    return ended


def _shape(chance: random.Random) -> Shape:
    kms = chance.random() < 0.15
    return Shape(
        unique_etags=kms or chance.random() < 0.2,
        kms=kms,
        owners=chance.random() < 0.3,
        versioned=chance.random() < 0.7,
        checksums=chance.random() < 0.8,
        page_keys=chance.choice((1, 2, 1000)),
        part_bytes=chance.choice((PART_BYTES, PART_BYTES, PART_BYTES // 4)),
        retries_max=chance.choice((0, 1, 2, 5)),
        workers_max=chance.choice((1, 2, 4)),
        inline=chance.random() < 0.5,
        timeout_seconds=chance.choice((TIMEOUT_SECONDS, TIMEOUT_SECONDS, 60.0, 30.0)),
        wrangler=chance.random() < 0.05,
    )


def _storm(chance: random.Random) -> Storm:
    sick = chance.random() < 0.1
    begin = chance.randrange(30)
    return Storm(
        chance,
        rate=chance.choice((0.0, 0.03, 0.08, 0.2)),
        crash_rate=chance.choice((0.0, 0.0, 0.02, 0.06)),
        sick=(begin, begin + chance.randrange(5, 40)) if sick else (0, 0),
    )


class _Story:
    """What happens in one run."""

    def __init__(self, world: World, storm: Storm, chance: random.Random) -> None:
        self._world = world
        self._storm = storm
        self._chance = chance
        self._events: list[Delivery] = []
        self._variant = "typed"
        self._counts: Counter[str] = Counter()

    def tell(self) -> None:
        """Run it; raises BrokenError."""
        world = self._world
        for key in self._chance.sample(KEYS, self._chance.choice((1, 1, 1, 1, 1, 1, 2, 3))):
            self._begin(key)
        if self._chance.random() < 0.1:
            self._counts["settings changed"] += 1
            world.do(self._change_settings, after_seconds=self._soon())
        world.run()
        if self._chance.random() < 0.25:
            self._deliver([one for one in self._events if not one.is_done])
        world.network.finish_under_way()
        self._storm.calm = True
        self._deliver_the_rest()
        world.invariants.require_newest(world.newest, self._variant)
        if self._chance.random() < 0.2:
            self._sweep_quietly()
        self._convert_where_uploads_are_left()
        self._require_few_requests()

    def reckoning(self) -> Counter[str]:
        """Return what has happened, by its name in EVENTS."""
        world, counts = self._world, self._counts
        counts.update(world.invariants.counts)
        names = {"converted": "conversions", "skipped": "skips", "failed": "failures", "deferred": "deferred"}
        for event, name in names.items():
            counts[name] += world.log.counts.get(f"object.{event}", 0)
        counts["start-overs"] += world.log.counts.get("object.started_over", 0)
        counts["unique ETags"] += world.shape.unique_etags
        counts["KMS"] += world.shape.kms
        counts["by awswrangler"] += world.shape.wrangler
        counts["owners"] += world.shape.owners
        return counts

    # ------------------------------------------------------------------ the storm

    def _begin(self, key: str) -> None:
        """Write the versions of a key, the first one now, and let an event follow each, or two."""
        names = self._names()
        self._counts["versions that came back"] += len(names) - len(set(names))
        self._write(key, names[0])
        at = 0.0
        for name in names[1:]:
            at += self._soon()
            self._counts["overwrites in the middle"] += 1
            self._world.do(lambda name=name: self._write(key, name), after_seconds=at)  # type: ignore[misc]
        if self._chance.random() < 0.08:
            at += self._soon()
            self._world.do(lambda: self._delete(key), after_seconds=at)
            if self._chance.random() < 0.5:
                self._counts["sources written again"] += 1
                self._world.do(lambda: self._write(key, names[-1]), after_seconds=at + self._soon())

    def _names(self) -> list[str]:
        chance = self._chance
        kinds = [
            chance.choices((corpus.SMALL, corpus.LONG, corpus.FAILING, ("empty",)), (80, 12, 6, 2))[0] for _ in "123"
        ]
        names = [chance.choice(kind) for kind in kinds][: chance.choice((1, 1, 2, 2, 3))]
        return [*names, names[0]] if chance.random() < 0.15 else names

    def _write(self, key: str, name: str) -> None:
        self._world.overwrite(key, name)
        kind = self._chance.choice(deliveries.KINDS)
        keys = sorted(self._world.newest) if kind.sweeps else [key]
        for delivery in deliveries.of(kind, keys):
            self._events.append(delivery)
            self._invoke(delivery)
            if self._chance.random() < 0.2:
                self._counts["duplicates"] += 1
                duplicate = Delivery(delivery.kind, delivery.keys)
                self._events.append(duplicate)
                self._invoke(duplicate, self._soon())

    def _delete(self, key: str) -> None:
        """Take a source away; who still has an event of it says so, and loses nothing else."""
        self._counts["sources deleted"] += 1
        self._world.delete(key)

    def _change_settings(self) -> None:
        self._variant = self._chance.choice(list(corpus.VARIANTS)[1:])

    def _soon(self) -> float:
        """Return some seconds: mostly within a conversion, sometimes long after."""
        return self._chance.random() * self._chance.choice((0.05, 0.3, 0.3, 3.0, 30.0))

    def _invoke(self, delivery: Delivery, after_seconds: float = 0.0) -> None:
        self._counts["invocations"] += 1
        self._counts[f"by {delivery.kind.name}"] += 1
        self._counts["at once"] += self._world.running > 0
        self._world.do(lambda: self._world.invoke(delivery, self._variant), after_seconds=after_seconds)

    # ------------------------------------------------------------------ the calm

    def _deliver_the_rest(self) -> None:
        """Deliver again what is not done; or everything, in another order."""
        only_rest = self._chance.random() < 0.5 and not self._counts["settings changed"]
        done = [one for one in self._events if one.is_done]
        again = [] if only_rest else self._chance.sample(done, min(len(done), AGAIN_MAX))
        waiting = again + [one for one in self._events if not one.is_done]
        if self._counts["settings changed"]:
            waiting.append(Delivery(deliveries.SWEEP, tuple(sorted(self._world.newest))))
        self._chance.shuffle(waiting)
        for _ in range(ROUNDS_MAX):
            self._deliver(waiting)
            waiting = [one for one in waiting if not one.is_done and one.can_be_done(self._failing(), self._world.gone)]
            if not waiting:
                return
        self._world.broken(f"{[(one.kind.name, one.left) for one in waiting]} are not done after {ROUNDS_MAX} rounds")

    def _deliver(self, waiting: list[Delivery]) -> None:
        at_once = self._chance.random() < 0.3
        for delivery in waiting:
            self._counts["delivered again"] += 1
            self._invoke(delivery)
            if not at_once:
                self._world.run()
        self._world.run()

    def _failing(self) -> set[str]:
        return {key for key, (source, _) in self._world.newest.items() if not source.good}

    def _sweep_quietly(self) -> None:
        """Check that what stands converted is skipped, with two requests an object and nothing written."""
        world = self._world
        if not world.newest:
            return
        before = world.server.copy()
        calls = world.network.calls
        self._invoke(Delivery(deliveries.SWEEP, tuple(world.newest)))
        world.run()
        fine = sum(source.good and not source.empty for source, _ in world.newest.values())
        if world.invariants.gaps or fine < len(world.newest):
            return
        self._counts["quiet sweeps"] += 1
        pages = -(-len(world.newest) // min(world.shape.page_keys, len(world.newest)))
        changed = any(world.server.buckets[name].objects != bucket.objects for name, bucket in before.buckets.items())
        asked = world.network.calls - calls
        if changed or asked != pages + REQUESTS_A_SKIP * fine:
            world.broken(f"a second conversion of {fine} objects took {asked} requests; something changed: {changed}")

    def _convert_where_uploads_are_left(self) -> None:
        """Check that the next conversion of a key aborts what a killed one left, and mends what the known gap did."""
        world = self._world
        wanted = (world.invariants.keys_with_uploads() | world.invariants.gaps) & world.newest.keys()
        wanted -= {key for key, (source, _) in world.newest.items() if source.empty or not source.good}
        if not wanted:
            return
        self._invoke(Delivery(deliveries.FORCED, tuple(sorted(wanted))))
        world.run()
        world.invariants.require_no_uploads(wanted)
        if world.invariants.gaps & wanted:
            world.broken(f"{world.invariants.gaps & wanted} are not mended by a forced conversion")
        world.invariants.require_newest({key: world.newest[key] for key in wanted}, self._variant)

    def _require_few_requests(self) -> None:
        world = self._world
        befallen = sum(world.invariants.befallen.values())
        starts = sum(world.invariants.asked.values()) + world.log.counts.get("object.started_over", 0)
        parts = 2 * max(len(source.content) for source, _ in world.invariants.versions()) // world.shape.part_bytes
        most = starts * (REQUESTS_A_CONVERSION + parts) + befallen * REQUESTS_A_FAULT
        if world.network.calls > most:
            world.broken(f"{world.network.calls} requests, at most {most} for {starts} starts and {befallen} faults")

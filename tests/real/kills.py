"""A conversion is killed (SIGKILL) just before and just after every one of its S3 requests, and run again.

Where it can be killed is what a recorded run of the same conversion asked of S3: a new request is a new place.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.conftest import INPUT_BUCKET
from tests.real.function import KillPoint, Request, Task, run_afresh, run_to_the_end
from tests.real.tally import Tally
from tests.standing import AVRO, KEY, MANIFEST, PARQUET, REJECTS, require_truth, standing, uploads

if TYPE_CHECKING:
    from tests.real.place import Place

PART_BYTES: Final = 5 << 20  # the least that S3 takes
_ROWS: Final = 6_000  # of a kilobyte: outputs of two parts


def small(text: str) -> bytes:
    return b"id,text\n" + b"".join(b"%d,%s%d\n" % (row, text.encode(), row) for row in range(20))


def spotted(text: str) -> bytes:
    """Return a source of which one record in twenty is rejected."""
    return small(text) + b"20,one,more\n"


def large(seed: int, rows: int = _ROWS) -> bytes:
    """Return a source of so many kilobytes that hardly shrink, as many records."""
    digits = random.Random(seed).randbytes(rows * 500).hex()
    return b"id,text\n" + b"".join(
        b"%d,%s\n" % (row, digits[row * 1000 : row * 1000 + 1000].encode()) for row in range(rows)
    )


@dataclass(frozen=True)
class Scenario:
    """A conversion: of which source, and of which before it."""

    name: str
    source: bytes
    before: bytes | None = None

    @property
    def versions(self) -> tuple[bytes, ...]:
        return (self.source,) if self.before is None else (self.before, self.source)


SCENARIOS: Final = (
    Scenario("first", small("a")),
    Scenario("rejects", spotted("a")),
    Scenario("again", small("b"), before=spotted("a")),
    Scenario("large", large(1)),
    Scenario("large again", large(2), before=small("a")),
)


class Killing:
    """One scenario at one server: recorded once, and then killed as often as asked."""

    def __init__(self, place: Place, scenario: Scenario) -> None:
        self._place = place
        self._scenario = scenario
        # Everything that the outputs hold stays as long as the source: compression would make one part of several.
        self._environment = place.environment(
            part_bytes_max=PART_BYTES, parquet_compression="none", avro_codec="null", max_workers=1
        )
        place.empty()
        if scenario.before is not None:
            place.put(KEY, scenario.before)
            self._run()
        self._before = place.saved()
        place.put(KEY, scenario.source)
        self.sent = self._run()
        self._after = standing(place.client)
        self._require_end()

    @property
    def points(self) -> list[KillPoint]:
        """Every place where the recorded run can be killed."""
        return [KillPoint(request, after) for request in self.sent for after in (False, True)]

    def kill(self, point: KillPoint) -> None:
        """Kill it there, look, run it again, and look again; AssertionError says what is wrong."""
        self._place.restore(self._before)
        if run_afresh(self._task(point)) is not None:
            message = f"{point}: the conversion ended without having come there"
            raise AssertionError(message)
        self._require_truth()
        self._run()
        self._require_end()

    def _run(self) -> tuple[Request, ...]:
        done = run_to_the_end(self._task())
        assert done.outcomes.get(KEY) in ("converted", "skipped"), (done.error, done.reasons)
        return done.sent

    def _task(self, kill: KillPoint | None = None) -> Task:
        return Task(self._environment, {"keys": [KEY]}, kill)

    def _require_truth(self) -> None:
        """Every manifest is true, and every object is what stood before or is to stand after: none is in part."""
        require_truth(self._place.client, *self._scenario.versions)
        for key, body in standing(self._place.client).items():
            known = {self._after.get(key)} | {self._before[key][0] for _ in (0,) if key in self._before}
            assert key == MANIFEST or body in known, f"{key} holds {len(body)} bytes that nobody wrote"

    def _require_end(self) -> None:
        """What stands is what the undisturbed conversion left, byte for byte, and nothing else does."""
        left = standing(self._place.client)
        required = {PARQUET, AVRO, MANIFEST}
        assert required <= left.keys() <= required | {REJECTS}, f"what stands: {sorted(left)}"
        assert left.keys() == self._after.keys(), f"what stands: {sorted(left)}, and not {sorted(self._after)}"
        other = [key for key in left if left[key] != self._after[key]]
        assert not other, f"other bytes than those of an undisturbed conversion: {other}"
        states = require_truth(self._place.client, *self._scenario.versions)
        assert states == {MANIFEST: "committed"}, f"manifests: {states}"
        strays = uploads(self._place.client)
        assert not strays, f"uploads are left: {strays}"
        assert self._place.keys(INPUT_BUCKET) == [KEY], "the sources are not what they were"


def killed(place: Place, scenario: Scenario, every: int = 1) -> Tally:
    """Kill the scenario at its points (the first of each ``every``), and return what came of it."""
    tally = Tally(f"killed: {scenario.name}", ("requests", "killed before", "killed after"))
    killing = Killing(place, scenario)
    tally.counts["requests"] = len(killing.sent)
    for point in killing.points[::every]:
        try:
            killing.kill(point)
        except AssertionError as error:
            tally.wrong.append(f"{point}: {error}")
        tally.counts["killed after" if point.after else "killed before"] += 1
    return tally

"""Events of three versions of one object, delivered late, twice and in every order: the newest version wins.

An order is what happens one after the other: versions are put, and each event comes, once or more often, at any time
after its version was put. There are 2,528 with three versions and three to six events.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import md5
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from tests.conftest import INPUT_BUCKET
from tests.real.function import Function
from tests.real.kills import small, spotted
from tests.real.tally import Tally
from tests.standing import PREFIX, manifest, require_truth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.real.place import Place

VERSIONS: Final = (small("one-"), spotted("two-"), small("three-"))
EVENTS_MAX: Final = 6
SENDERS: Final = 4
PUT: Final = "put"
EVENT: Final = "event"

Step = tuple[str, int]  # what happens, and with which version


def orders(events_max: int = EVENTS_MAX) -> Iterator[tuple[Step, ...]]:
    """Yield every order of all versions being put and each one's event coming at least once."""
    versions = len(VERSIONS)
    for counts in product(range(1, events_max + 1), repeat=versions):
        if sum(counts) <= events_max:
            yield from _orders((), 0, counts)


def _orders(begun: tuple[Step, ...], put: int, left: tuple[int, ...]) -> Iterator[tuple[Step, ...]]:
    if put == len(VERSIONS) and not any(left):
        yield begun
    if put < len(VERSIONS):
        yield from _orders((*begun, (PUT, put)), put + 1, left)
    for version in range(put):
        if left[version]:
            rest = (*left[:version], left[version] - 1, *left[version + 1 :])
            yield from _orders((*begun, (EVENT, version)), put, rest)


def delivered(place: Place, sample: int | None = None) -> Tally:
    """Play the orders (a sample of them, or all), each with a key of its own; return what came of it."""
    tally = Tally("orders of events", ("orders", "events", "converted", "skipped", "overwritten before its event"))
    every = list(orders())
    chosen = every if sample is None else random.Random(sample).sample(every, sample)
    with place.at_hand(), ThreadPoolExecutor(SENDERS) as threads:
        for played in [threads.submit(_play_all, place, chosen, sender, tally) for sender in range(SENDERS)]:
            played.result()
    tally.counts["orders"] = len(chosen)
    states = require_truth(place.client, *VERSIONS)
    tally.require(states == dict.fromkeys(states, "committed") and len(states) == len(chosen), "not all are committed")
    return tally


def _play_all(place: Place, chosen: Sequence[tuple[Step, ...]], sender: int, tally: Tally) -> None:
    """Play one sender's share, one order after the other, with a function of its own."""
    with closing(Function(os.environ)) as function:
        for number in range(sender, len(chosen), SENDERS):
            _play(place, function, f"{PREFIX}{number}.csv", chosen[number], tally)


def _play(place: Place, function: Function, key: str, order: tuple[Step, ...], tally: Tally) -> None:
    newest = -1
    converted = -1
    for what, version in order:
        if what == PUT:
            newest = version
            place.put(key, VERSIONS[version])
            continue
        tally.add("events")
        tally.add("overwritten before its event", version != newest)
        done = function.invoke(event_of(key, VERSIONS[version]))
        outcome = done.outcomes.get(key, f"nothing but {done.error}")
        tally.add(outcome)
        due = "skipped" if converted == newest else "converted"
        tally.require(outcome == due, f"{order}: {outcome} where {due} was due")
        tally.require(due == "converted" or len(done.sent) == 2, f"{order}: skipped with {len(done.sent)} requests")
        converted = newest
        told = manifest(place.client, f"processed/_manifests/{key.removeprefix(PREFIX)}.json")
        is_newest = (told["state"], told["source"]["etag"]) == ("committed", etag_of(newest))
        tally.require(is_newest, f"{order}: after an event of {version} stands {told['source']}, not {newest}")


def etag_of(version: int) -> str:
    return md5(VERSIONS[version], usedforsecurity=False).hexdigest()


def event_of(key: str, body: bytes) -> dict[str, Any]:
    """Return the notification that S3 sends when ``body`` was put at ``key``."""
    etag = md5(body, usedforsecurity=False).hexdigest()
    described = {"key": quote_plus(key, safe="/"), "size": len(body), "eTag": etag}
    s3 = {"s3SchemaVersion": "1.0", "bucket": {"name": INPUT_BUCKET}, "object": described | {"sequencer": "0A1B2C"}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "s3": s3}
    return {"Records": [record | {"eventName": "ObjectCreated:Put", "eventTime": "2026-11-01T06:00:01.337Z"}]}

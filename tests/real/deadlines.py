"""A slow server, and a context that counts down: every invocation answers in time, and the next ones do the rest.

A *chain* is what a sender does: it sends an event, looks at the answer, and sends what was deferred again, each as it
would (the whole prefix from ``next`` on, the keys deferred, the messages that are listed as failed, the same item).
"""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.real.function import Context, Done, Function
from tests.real.kills import large, small
from tests.real.orders import event_of
from tests.real.tally import Tally
from tests.real.trouble import Envoy, envoy
from tests.standing import require_truth, uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.real.place import Place

MARGIN_SECONDS: Final = 2.5  # of which the answer gets a fifth: less, and it is the machine that is measured
WORKERS: Final = 4
CHAINS_AT_ONCE: Final = 4
INVOCATIONS_MAX: Final = 40  # of one chain; a loaded machine takes more of them
STALL_PERCENT: Final = 10
STALL_MILLISECONDS: Final = 9_000

Event = dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """One sender's objects, what it sends first, and what it sends after an answer (nothing: all is done)."""

    kind: str
    bodies: Mapping[str, bytes]
    first: Event
    following: Callable[[Event, Done], Event | None]
    seconds: float  # that each invocation has


def sweep(number: int, seconds: float) -> Chain:
    """Return the chain of one who has a whole prefix converted."""
    prefix = f"in/sweep-{number}/"

    def following(_: Event, done: Done) -> Event | None:
        answer = done.answer or {}
        return {"prefix": prefix, "start_after": answer["next"]} if "next" in answer else None

    return Chain("sweep", _bodies(prefix, 24), {"prefix": prefix}, following, seconds)


def keys(number: int, seconds: float) -> Chain:
    """Return the chain of one who names keys, a large one among them."""
    prefix = f"in/keys-{number}/"
    bodies = _bodies(prefix, 15) | {f"{prefix}large.csv": large(number, 6_000)}

    def following(_: Event, done: Done) -> Event | None:
        deferred = [key for key, outcome in done.outcomes.items() if outcome == "deferred"]
        return {"keys": deferred} if deferred else None

    return Chain("keys", bodies, {"keys": list(bodies)}, following, seconds)


def messages(number: int, seconds: float) -> Chain:
    """Return the chain of a queue, whose messages come again."""
    bodies = _bodies(f"in/messages-{number}/", 10)
    sent = [
        {"messageId": key, "eventSource": "aws:sqs", "body": json.dumps(event_of(key, body))}
        for key, body in bodies.items()
    ]

    def following(event: Event, done: Done) -> Event | None:
        failed = {failure["itemIdentifier"] for failure in (done.answer or {})["batchItemFailures"]}
        left = [message for message in event["Records"] if message["messageId"] in failed]
        return {"Records": left} if left else None

    return Chain("messages", bodies, {"Records": sent}, following, seconds)


def items(number: int, seconds: float) -> Chain:
    """Return the chain of a state machine, which repeats a batch of items whose task raised RetryableError."""
    bodies = _bodies(f"in/items-{number}/", 10)
    batch = {"Items": [{"Key": key, "Size": len(body)} for key, body in bodies.items()]}

    def following(event: Event, done: Done) -> Event | None:
        return event if (done.error or "").startswith("RetryableError") else None

    return Chain("items", bodies, batch, following, seconds)


KINDS: Final = (sweep, keys, messages, items)


def _bodies(prefix: str, count: int) -> dict[str, bytes]:
    return {f"{prefix}{number:02}.csv": small(f"{prefix}-{number}-") for number in range(count)}


def counted_down(place: Place, runs: int, *, seed: int = 1, seconds_least: float = 5.0) -> Tally:
    """Play chains until there were so many invocations under a slow server; return what came of them.

    In less than ``seconds_least`` a machine that has other work never finishes an object.
    """
    tally = Tally("deadlines", ("invocations", "deferred", "converted", "delayed by the server"))
    chance = random.Random(seed)
    number = 0
    with envoy(place.server) as slow, place.through(slow.steady_url).at_hand(**_settings()):
        slow.switch(delayed_percent=100)
        while tally.counts["invocations"] < runs:
            numbers = range(number, number + CHAINS_AT_ONCE)
            chains = [
                KINDS[each % len(KINDS)](each, chance.uniform(seconds_least, seconds_least + 3)) for each in numbers
            ]
            number += len(chains)
            _play_all(place, chains, tally)
        tally.counts["delayed by the server"] = slow.counts()["delayed"]
    return tally


def stalled(place: Place, runs: int, *, seed: int = 2) -> Tally:
    """The same where one request in ten is not answered before the invocation's end."""
    tally = Tally("stalls", ("invocations", "deferred", "converted", "stalled by the server"))
    chance = random.Random(seed)
    number = 1000
    with envoy(place.server) as slow, place.through(slow.steady_url).at_hand(**_settings()):
        while tally.counts["invocations"] < runs:
            slow.switch(delayed_percent=STALL_PERCENT, delayed_milliseconds=STALL_MILLISECONDS)
            numbers = range(number, number + CHAINS_AT_ONCE)
            chains = [KINDS[each % len(KINDS)](each, chance.uniform(5.0, 7.0)) for each in numbers]
            number += len(chains)
            _play_all(place, chains, tally, well=slow)
        tally.counts["stalled by the server"] = slow.counts()["delayed"]
    return tally


def _settings() -> dict[str, object]:
    return {"max_workers": WORKERS, "deadline_margin_seconds": MARGIN_SECONDS, "memory_budget_mb": 1024}


def _play_all(place: Place, chains: list[Chain], tally: Tally, well: Envoy | None = None) -> None:
    for chain in chains:
        place.put_all(chain.bodies)
    with ThreadPoolExecutor(len(chains)) as threads:
        for played in [threads.submit(_play, chain, tally, well) for chain in chains]:
            played.result()
    bodies = [body for chain in chains for body in chain.bodies.values()]
    states = require_truth(place.client, *bodies)
    tally.require(len(states) == len(bodies), f"{len(bodies) - len(states)} objects have no manifest")
    tally.require(set(states.values()) == {"committed"}, "a manifest is not committed")
    tally.require(uploads(place.client) == [], "an upload is left")
    place.empty()


def _play(chain: Chain, tally: Tally, well: Envoy | None) -> None:
    """Send the chain's events until nothing is left of them; each is answered within the time that it has."""
    event: Event | None = chain.first
    with closing(Function(os.environ)) as function:
        function.make()
        for sent in range(INVOCATIONS_MAX):
            if event is None:
                return
            if well is not None and sent == INVOCATIONS_MAX // 2:
                well.switch()
            done = function.invoke(event, Context(chain.seconds))
            _judge(chain, done, tally)
            event = chain.following(event, done)
    tally.require(event is None, f"{chain.kind}: not done after {INVOCATIONS_MAX} invocations of {chain.seconds:.1f} s")


def _judge(chain: Chain, done: Done, tally: Tally) -> None:
    tally.add("invocations")
    tally.add("deferred", sum(outcome == "deferred" for outcome in done.outcomes.values()))
    tally.add("deferred", len((done.answer or {}).get("batchItemFailures", ())))
    tally.add("converted", sum(outcome == "converted" for outcome in done.outcomes.values()))
    late = done.seconds >= chain.seconds
    tally.require(not late, f"{chain.kind}: answered after {done.seconds:.2f} s of {chain.seconds:.2f}")
    failed = {key: done.reasons[key] for key, outcome in done.outcomes.items() if outcome == "failed"}
    tally.require(not failed, f"{chain.kind}: {failed}")
    tally.require(done.error is None or chain.kind == "items", f"{chain.kind}: {done.error}")
    for key, outcome in done.outcomes.items():
        tally.require(outcome != "deferred" or done.reasons[key], f"{key} was deferred without a reason")

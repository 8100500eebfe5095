"""Many conversions of one key at once, from processes of their own and threads in them, each with its own client."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from tests.conftest import OUTPUT_BUCKET
from tests.real.function import Fresh, Task
from tests.real.kills import small, spotted
from tests.real.tally import Tally
from tests.standing import KEY, MANIFEST, require_truth, uploads

if TYPE_CHECKING:
    from tests.real.place import Place

PROCESSES: Final = 4
THREADS: Final = 8
SECONDS_TO_BEGIN: Final = 4.0  # until every process has made its clients
OUTCOMES: Final = ("converted", "skipped", "failed")


def versioned(place: Place) -> Place:
    """Keep every version that the output bucket ever holds: the history of each manifest."""
    place.client.put_bucket_versioning(Bucket=OUTPUT_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return place


def states(place: Place, key: str = MANIFEST) -> list[str]:
    """Return the state of every manifest that ever stood at ``key``."""
    pages = place.client.get_paginator("list_object_versions").paginate(Bucket=OUTPUT_BUCKET, Prefix=key)
    versions = [found["VersionId"] for page in pages for found in page.get("Versions", ()) if found["Key"] == key]
    bodies = (place.client.get_object(Bucket=OUTPUT_BUCKET, Key=key, VersionId=each)["Body"] for each in versions)
    return [json.load(body)["state"] for body in bodies]


def contend(place: Place, tally: Tally, source: bytes) -> None:
    """Convert one new version of one key from everywhere at once; exactly one commit may come of it."""
    place.put(KEY, source)
    begun = states(place).count("committed")
    began = time.time() + SECONDS_TO_BEGIN
    task = Task(place.environment(max_workers=1), {"keys": [KEY]}, begin=began)
    processes = [Fresh(*[task] * THREADS) for _ in range(PROCESSES)]
    for done in [done for process in processes for done in process.wait_all()]:
        outcome = done.outcomes.get(KEY, done.error or "no answer")
        tally.counts[outcome] += 1
        tally.counts["requests"] += len(done.sent)
        tally.counts["preconditions lost"] += done.statuses.get("412", 0)
        tally.require(outcome in OUTCOMES, outcome)
        tally.require(outcome != "failed" or "other writers were first" in done.reasons[KEY], str(done.reasons))
    commits = states(place).count("committed") - begun
    tally.counts["commits"] += commits
    tally.require(commits == 1, f"{commits} commits of one version")
    tally.require(require_truth(place.client, source) == {MANIFEST: "committed"}, "no committed manifest")
    tally.require(uploads(place.client) == [], "an upload is left")


def contended(place: Place, rounds: int) -> Tally:
    """Return what came of ``rounds`` versions, the first of a key that was never converted."""
    tally = Tally("one key at once", ("converted", "skipped", "commits", "preconditions lost"))
    versioned(place)
    for number in range(rounds):
        contend(place, tally, (spotted if number % 2 else small)(f"v{number}-"))
    tally.require(tally.counts["converted"] == rounds, f"{tally.counts['converted']} of {rounds} said converted")
    tally.counts["rounds"] = rounds
    return tally

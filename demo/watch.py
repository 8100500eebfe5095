"""Sources go up, and what the function makes of them is watched in the output bucket until all of it has arrived."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from demo.deploy import INPUT_BUCKET, OUTPUT_BUCKET, OUTPUT_PREFIX, PREFIX, output_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from demo.data import Source

WAIT_SECONDS_MAX: Final = 120.0
POLL_SECONDS: Final = 0.1
UNDER_WAY_MAX: Final = 2  # the function's workers share this machine's cores; in AWS all could come at once


@dataclass
class Arrival:
    """One source on its way: what the buckets show of it so far."""

    source: Source
    sent: float | None = None  # when its upload was answered, on the monotonic clock
    outputs: set[str] = field(default_factory=set)  # formats that stand in the bucket
    seconds: float | None = None  # from the upload's answer until the commit was seen: notification and start included
    manifest: dict[str, Any] | None = None  # the commit: converted
    refusal: str | None = None  # the function's reason, or that nothing came
    cells_agreeing: int | None = None  # once outputs and source have been found equal
    difference: str | None = None  # or else what is not

    @property
    def done(self) -> bool:
        """Whether nothing more is to come."""
        return self.manifest is not None or self.refusal is not None

    @property
    def state(self) -> str:
        """What to tell somebody who watches, in a word or two."""
        if self.difference is not None:
            return "differs"
        if self.cells_agreeing is not None:
            return "equal"
        if self.done:
            return "refused" if self.manifest is None else "converted"
        return " ".join(sorted(self.outputs)) or ("waiting" if self.sent is None else "converting")


def convert(s3: S3Client, arrivals: list[Arrival], show: Callable[[list[Arrival]], None]) -> None:
    """Upload every source and return when all are done; ``show`` is called at each look at the bucket."""
    give_up = time.monotonic() + WAIT_SECONDS_MAX
    waiting = deque(arrivals)
    while any(not arrival.done for arrival in arrivals):
        while waiting and _under_way(arrivals) < UNDER_WAY_MAX:
            _upload(s3, waiting.popleft())
        show(arrivals)
        time.sleep(POLL_SECONDS)
        _look(s3, arrivals)
        if time.monotonic() > give_up:
            _give_up(arrivals)
    show(arrivals)


def _under_way(arrivals: list[Arrival]) -> int:
    return sum(arrival.sent is not None and not arrival.done for arrival in arrivals)


def _upload(s3: S3Client, arrival: Arrival) -> None:
    s3.put_object(Bucket=INPUT_BUCKET, Key=PREFIX + arrival.source.name, Body=arrival.source.data)
    arrival.sent = time.monotonic()


def _look(s3: S3Client, arrivals: list[Arrival]) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=OUTPUT_BUCKET, Prefix=OUTPUT_PREFIX)
    keys = {item["Key"].removeprefix(OUTPUT_PREFIX) for page in pages for item in page.get("Contents", [])}
    for arrival in arrivals:
        if not arrival.done:
            _update(s3, arrival, keys)


def _update(s3: S3Client, arrival: Arrival, keys: set[str]) -> None:
    name = arrival.source.name
    stem = name.removesuffix(".csv")
    arrival.outputs = {output for output in ("parquet", "avro") if output_key(stem, output) in keys}
    if f"_failed/{name}.json" in keys:
        arrival.refusal = str(_read_json(s3, f"_failed/{name}.json").get("reason", "no reason given"))
    elif f"_manifests/{name}.json" in keys:
        manifest = _read_json(s3, f"_manifests/{name}.json")
        arrival.manifest = manifest if manifest["state"] == "committed" else None
    if arrival.done and arrival.sent:
        arrival.seconds = time.monotonic() - arrival.sent


def _read_json(s3: S3Client, key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(s3.get_object(Bucket=OUTPUT_BUCKET, Key=OUTPUT_PREFIX + key)["Body"].read())
    return document


def _give_up(arrivals: list[Arrival]) -> None:
    for arrival in arrivals:
        if not arrival.done:
            arrival.refusal = f"nothing committed within {WAIT_SECONDS_MAX:.0f} s"

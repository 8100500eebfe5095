"""S3DataProcessor: every CSV object under a prefix becomes Parquet and Avro.

The façade over the package: it lists, fans objects out over threads, and reports. How one object is converted is in
``csv_transcode/conversion.py``; ARCHITECTURE.md walks through an object's life.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from csv_transcode import fanout, frames
from csv_transcode.affinity import Affinity
from csv_transcode.commit import read_manifest
from csv_transcode.concurrency import AdaptiveConcurrency
from csv_transcode.conversion import OWN_OUTPUT, ObjectConverter, Workplace, plan_of
from csv_transcode.deadline import Deadline, Pace
from csv_transcode.errors import DeadlineError, SettingsError, TranscodeError
from csv_transcode.events import EventKind, EventObject, Invocation, Skipped, Sweep
from csv_transcode.formats.avro.container import AvroContainer, AvroEncoder
from csv_transcode.formats.parquet import ParquetEncoder
from csv_transcode.manifest import fingerprint
from csv_transcode.map_results import sum_up
from csv_transcode.memory_budget import MemoryBudget
from csv_transcode.outputs import ATTEMPT_ID_BYTES, CONTENT_TYPES
from csv_transcode.pipeline import Pools, read_table
from csv_transcode.report import ObjectResult, Outcome, RunReport
from csv_transcode.runtime import Runtime
from csv_transcode.s3.cache import ObjectCache
from csv_transcode.s3.client import make_client
from csv_transcode.s3.reader import open_source
from csv_transcode.s3.store import MARKER, Condition, ObjectStore
from csv_transcode.s3.upload import ObjectUpload
from csv_transcode.s3.watch import log_requests
from csv_transcode.s3.wrangler import download_source
from csv_transcode.settings import Settings
from csv_transcode.telemetry import get_logger, log_event
from csv_transcode.tracing import make_tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor

    import pandas as pd
    from mypy_boto3_s3 import S3Client

    from csv_transcode.events import MapResults
    from csv_transcode.keys import KeyMap
    from csv_transcode.s3.reader import Source
    from csv_transcode.s3.store import ListedObject
    from csv_transcode.s3.wrangler import DownloadedSource

IO_THREADS_EXTRA: Final = 8  # parts of large objects, beside one request an object
FAILED_SECONDS: Final = -1.0
SKIPPED_SECONDS: Final = 0.0


class _Machinery(Struct, frozen=True):
    """The threads of a processor that is in use, and what works with them; no task of ``io`` waits for another."""

    objects: Executor
    io: Executor
    pools: Pools
    converter: ObjectConverter

    def shutdown(self) -> None:
        """End all threads, once what they are at is done."""
        for executor in (self.objects, self.pools.decode, self.pools.encode, self.io):
            executor.shutdown()


class S3DataProcessor:
    """Converts the CSV objects of one bucket and prefix; safe to use from several threads.

    ``settings`` holds everything beyond the arguments (its buckets must be these, and its prefix, workers, wrangler and
    cache then win over the arguments). ``s3_client`` and ``runtime`` (clock, sleep, randomness, threads) may be passed
    in. As a context, or by ``close``, it ends its threads.
    """

    def __init__(
        self,
        input_bucket: str,
        output_bucket: str,
        prefix: str = "",
        *,
        max_workers: int = 20,
        use_wrangler: bool = False,
        cache_size: int = 128,
        settings: Settings | None = None,
        s3_client: S3Client | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        if settings is None:
            settings = Settings.of(
                input_bucket,
                output_bucket,
                prefix=prefix,
                max_workers=max_workers,
                use_wrangler=use_wrangler,
                cache_size=cache_size,
            )
        _require_same_buckets(settings, input_bucket, output_bucket)
        self.settings = settings
        self.key_map: KeyMap = settings.key_map
        self._runtime = runtime or Runtime()
        self._budget = MemoryBudget.of(settings, self._runtime)
        self._io_threads = self._budget.workers + IO_THREADS_EXTRA
        self._client = s3_client or make_client(
            connections_max=self._budget.workers + self._io_threads,
            retries_max=settings.retries_max,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            read_timeout_seconds=settings.read_timeout_seconds,
            retry_budget=settings.retry_budget,
            runtime=self._runtime,
        )
        self._concurrency = AdaptiveConcurrency(
            self._runtime,
            objects_max=self._budget.workers,
            parts_max=self._io_threads,
            memory_bytes=self._budget.total_bytes,
        )
        self._affinity = Affinity(self._runtime)
        self._tracer = make_tracer(wanted=settings.traces)
        self._store = self._open_store()
        self._cache = ObjectCache(self._store, self._runtime, settings.cache_size, self._budget.cache_bytes)
        self._making = self._runtime.condition()
        self._made: _Machinery | None = None

    def _open_store(self) -> ObjectStore:
        if get_logger().isEnabledFor(logging.DEBUG):
            log_requests(self._client, self._runtime.clock)
        return ObjectStore(
            self._client,
            self._runtime,
            owners=self.settings.owners,
            kms_key_id=self.settings.output_kms_key_id,
            watch=self._concurrency,
        )

    @classmethod
    def from_settings(
        cls, settings: Settings, *, s3_client: S3Client | None = None, runtime: Runtime | None = None
    ) -> Self:
        """Return the processor that ``settings`` describe."""
        return cls(
            settings.input_bucket, settings.output_bucket, settings=settings, s3_client=s3_client, runtime=runtime
        )

    def __enter__(self) -> Self:
        """Return the processor itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End its threads."""
        self.close()

    def close(self) -> None:
        """End the processor's threads; they start anew if it is used again."""
        with self._making:
            made, self._made = self._made, None
        if made is not None:
            made.shutdown()

    # ------------------------------------------------------------------ many objects

    def list_s3_objects(self) -> list[dict[str, Any]]:
        """Return the CSV objects under the prefix, as ``list_objects_v2`` describes them; a failed listing raises."""
        listed = self._store.list_objects(self.settings.input_bucket, self.settings.prefix)
        return [_described(found) for found in listed if self.key_map.skip_reason(found.key) is None]

    def process_all_files(self) -> dict[str, float]:
        """Convert every CSV object under the prefix; return seconds by key of those that were converted."""
        return {result.key: result.seconds for result in self.run().having(Outcome.CONVERTED)}

    def process_file(self, obj: Mapping[str, Any] | str) -> tuple[str, float]:
        """Convert one object (a key, or what ``list_s3_objects`` returns); return (key, seconds).

        Seconds are 0.0 where it was skipped and -1.0 where it failed; ``convert`` says why.
        """
        result = self.convert(obj)
        seconds = {Outcome.CONVERTED: result.seconds, Outcome.SKIPPED: SKIPPED_SECONDS}
        return result.key, seconds.get(result.outcome, FAILED_SECONDS)

    def convert(self, obj: Mapping[str, Any] | str, *, force: bool = False) -> ObjectResult:
        """Convert one object (a key, or what ``list_s3_objects`` returns), and say what became of it."""
        found = _event_object(obj)
        reason = self.key_map.skip_reason(found.key, listed=False)
        if reason is not None:
            return ObjectResult(found.key, Outcome.SKIPPED, reason)
        return self._machinery.converter.convert(found, Pace(Deadline.never(), self._runtime), force=force)

    def run(
        self,
        objects: Iterable[Mapping[str, Any] | str] | None = None,
        *,
        force: bool = False,
        dry_run: bool = False,
        on_result: Callable[[ObjectResult], object] | None = None,
    ) -> RunReport:
        """Convert ``objects`` (default: everything under the prefix) at once, and report; a failed listing raises.

        ``force`` converts what stands converted too, ``dry_run`` converts nothing and says what would be (outcome
        ``planned``). ``on_result`` is called with each result as it comes, in the calling thread.
        """
        sweep = Sweep(self.settings.prefix) if objects is None else None
        given = tuple(_event_object(obj) for obj in objects or ())
        invocation = Invocation(EventKind.DIRECT, given, sweep=sweep, dry_run=dry_run, force=force)
        return self.handle(invocation, Deadline.never(), on_result=on_result)

    def handle(
        self,
        invocation: Invocation,
        deadline: Deadline,
        *,
        on_result: Callable[[ObjectResult], object] | None = None,
    ) -> RunReport:
        """Do what an event asks for as far as the time allows, and report on each of its objects.

        DEADLINE_MARGIN_SECONDS before the deadline nothing is begun any more, and what cannot be finished is taken
        back: it is deferred. A sweep that was cut short has ``next``, the key after which another one goes on; up to
        there every object has been dealt with.
        """
        with self._tracer.span("invocation", kind=invocation.kind.value) as span:
            report = self._handle(invocation, deadline, on_result)
            span.tell(status_code=report.status_code, objects=len(report.results))
        return report

    def _handle(
        self, invocation: Invocation, deadline: Deadline, on_result: Callable[[ObjectResult], object] | None
    ) -> RunReport:
        begun = self._runtime.clock()
        pace = Pace(deadline.begun(self.settings.deadline_margin_seconds), self._runtime)
        _warn_of_margin(pace.deadline)
        asked = _Asked(invocation, self._listed, pace.deadline)
        results = [ObjectResult(one.key, Outcome.SKIPPED, one.reason) for one in invocation.skipped]
        self._affinity.choose()

        def work(asked_for: EventObject | Skipped) -> ObjectResult:
            return self._handle_one(asked_for, invocation, pace)

        for result in fanout.fan_out(
            self._machinery.objects,
            work,
            asked,
            self._concurrency.objects,
            deadline=pace.deadline,
            given_up=_given_up,
        ):
            results.append(result)
            if on_result is not None:
                on_result(result)
        order = {one.key: place for place, one in enumerate(invocation.objects)}
        results.sort(key=lambda result: (order.get(result.key, -1), result.key))
        return RunReport(tuple(results), self._runtime.clock() - begun, asked.next(results))

    def sum_up(self, results: MapResults) -> dict[str, Any]:
        """Return the summary of what became of a Distributed Map's batches; BackfillError where it cannot be had."""
        return sum_up(results, lambda key: self._store.read(self.settings.output_bucket, key))

    def end_invocation(self) -> None:
        """Forget what one invocation has read, so that nothing of it is there for the next."""
        self._cache.clear()

    def _listed(self, sweep: Sweep, deadline: Deadline) -> Iterator[EventObject | Skipped]:
        """Yield what lies under the sweep's prefix; DeadlineError where no page comes before the deadline."""
        listing = self._store.list_objects(self.settings.input_bucket, sweep.prefix, sweep.start_after or "")
        threads = deadline.bounding(self._machinery.io)
        with self._tracer.span_aside("list", bucket=self.settings.input_bucket, prefix=sweep.prefix):
            while (found := threads.submit(next, listing, None).result()) is not None:
                if found.is_archived:  # to ask for it would be refused
                    yield Skipped(found.key, f"archived: {found.storage_class}, and not restored")
                else:
                    yield EventObject(found.key, found.size)

    def _handle_one(self, obj: EventObject | Skipped, invocation: Invocation, pace: Pace) -> ObjectResult:
        if isinstance(obj, Skipped):
            return ObjectResult(obj.key, Outcome.SKIPPED, obj.reason)
        reason = self.key_map.skip_reason(obj.key, listed=invocation.sweep is not None)
        if reason is not None:
            return ObjectResult(obj.key, Outcome.SKIPPED, reason)
        self._affinity.settle(obj.size)
        if invocation.dry_run:
            return self._planned(obj, force=invocation.force)
        return self._machinery.converter.convert(obj, pace, force=invocation.force)

    def _planned(self, obj: EventObject, *, force: bool) -> ObjectResult:
        """Say whether ``obj`` would be converted, from its manifest; nothing is written."""
        keys = self.key_map.map(obj.key)
        try:
            standing = read_manifest(self._store, self.settings.output_bucket, keys.manifest)
            found = self._store.head(self.settings.input_bucket, obj.key)
        except TranscodeError as error:
            return ObjectResult(obj.key, Outcome.FAILED, str(error), error=error, retryable=error.retryable)
        if found is None:
            return ObjectResult(obj.key, Outcome.FAILED, "there is no such object")
        if MARKER in found.metadata:
            return ObjectResult(obj.key, Outcome.SKIPPED, OWN_OUTPUT)
        if not force and standing.converted_etag(fingerprint(self.settings)) == found.etag:
            return ObjectResult(obj.key, Outcome.SKIPPED, "converted already, from this version and settings")
        return ObjectResult(obj.key, Outcome.PLANNED, bytes_read=found.size or 0)

    # ------------------------------------------------------------------ in a notebook

    def read_s3_file(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes; read again while it has not changed, they come from the cache (``CACHE_SIZE``)."""
        return self._cache.read(bucket, key)

    def read_csv_to_dataframe(self, bucket: str, key: str) -> pd.DataFrame:
        """Return a CSV object as a DataFrame with Arrow dtypes, typed as its conversion would be.

        Raises SourceError where a conversion would fail or reject a record: nothing is left out silently.
        """
        content = self._cache.read(bucket, key)
        return frames.to_dataframe(read_table([content], plan_of(self.settings)))

    def write_parquet_to_s3(self, df: pd.DataFrame, bucket: str, key: str) -> None:
        """Write a DataFrame as one Parquet object, exactly; FrameError where that cannot be. Outside of the commit."""
        batch = frames.from_dataframe(df)
        with self._upload(bucket, key, "parquet") as upload:
            encoder = ParquetEncoder(batch.schema, self.settings.parquet_compression, upload.write)
            group = encoder.append(batch)
            if group:
                encoder.write_group(group)
            encoder.close()
            upload.publish(Condition.none())

    def write_avro_to_s3(self, df: pd.DataFrame, bucket: str, key: str) -> None:
        """Write a DataFrame as one Avro object, exactly; FrameError where that cannot be. Outside of the commit."""
        batch = frames.from_dataframe(df)
        encoder = AvroEncoder.plan(batch.schema, self.settings.avro_codec)
        with self._upload(bucket, key, "avro") as upload:
            container = AvroContainer(encoder, upload.write)
            container.append(encoder.encode(batch))
            container.close()
            upload.publish(Condition.none())

    def _upload(self, bucket: str, key: str, format_name: str) -> ObjectUpload:
        return ObjectUpload(
            self._store,
            bucket,
            key,
            attempt_id=self._runtime.token(ATTEMPT_ID_BYTES),
            marker=format_name,
            content_type=CONTENT_TYPES[format_name],
            executor=self._machinery.io,
            part_bytes=self._budget.part_bytes,
        )

    # ------------------------------------------------------------------ threads, made when they are first needed

    @property
    def _machinery(self) -> _Machinery:
        """What every thread that asks shares, made by the first of them."""
        with self._making:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> _Machinery:
        runtime, budget = self._runtime, self._budget
        objects, io = self._threads(budget.workers, "object"), self._threads(self._io_threads, "io")
        decode, encode = self._threads(budget.threads, "decode"), self._threads(budget.threads, "encode")
        pools = Pools(decode, encode, budget.window)

        def conversions_bytes_now() -> int:
            return budget.conversions_bytes if self._concurrency.has_memory() else 0

        workplace = Workplace(
            self._store,
            runtime,
            pools,
            io,
            gate=fanout.Gate(runtime, conversions_bytes_now),
            parts_gate=fanout.Gate(runtime, self._concurrency.parts),
            budget=budget,
            open_source=self._open_source,
            tracer=self._tracer,
        )
        return _Machinery(objects, io, pools, ObjectConverter(self.settings, workplace))

    def _threads(self, threads_max: int, name: str) -> Executor:
        return self._tracer.following(self._affinity.following(self._runtime.executor(threads_max, name)))

    def _open_source(
        self, obj: EventObject, if_none_match: str | None, threads: Executor
    ) -> Source | DownloadedSource | None:
        bucket = self.settings.input_bucket
        if self.settings.use_wrangler:
            return download_source(self._store, bucket, obj.key, if_none_match=if_none_match, client=self._client)
        return open_source(
            self._store,
            bucket,
            obj.key,
            size_hint=obj.size,
            if_none_match=if_none_match,
            part_bytes=self._budget.part_bytes,
            executor=threads,
        )


class _Asked:
    """What an invocation asks for, as far as it is come to: its objects, or a listing until the time is over."""

    def __init__(
        self,
        invocation: Invocation,
        listed: Callable[[Sweep, Deadline], Iterator[EventObject | Skipped]],
        deadline: Deadline,
    ) -> None:
        self._invocation = invocation
        self._listed = listed
        self._deadline = deadline
        self._is_cut = False

    def __iter__(self) -> Iterator[EventObject | Skipped]:
        yield from self._invocation.objects
        if self._invocation.sweep is not None:
            try:
                yield from self._listed(self._invocation.sweep, self._deadline)
            except DeadlineError:
                self._is_cut = True

    def next(self, results: Iterable[ObjectResult]) -> str | None:
        """Return the key after which another sweep has to go on, None where this one came to its end.

        ``results`` are in the order of the keys. What is deferred comes after that key, so that a sweep from there on
        finds it again.
        """
        if self._invocation.sweep is None:
            return None
        reached = self._invocation.sweep.start_after or ""
        for result in results:
            if result.outcome is Outcome.DEFERRED:
                return reached
            reached = result.key
        return reached if self._is_cut else None


def _warn_of_margin(deadline: Deadline) -> None:
    if deadline.is_over:
        seconds, margin = round(deadline.granted_seconds, 1), deadline.margin_seconds
        log_event(get_logger(), logging.WARNING, "deadline.margin_takes_all", seconds=seconds, margin_seconds=margin)


def _given_up(obj: EventObject | Skipped) -> ObjectResult:
    return ObjectResult(obj.key, Outcome.DEFERRED, "the function's time was over before it was done", retryable=True)


def _require_same_buckets(settings: Settings, input_bucket: str, output_bucket: str) -> None:
    if (settings.input_bucket, settings.output_bucket) != (input_bucket, output_bucket):
        message = (
            f"the settings are for {settings.input_bucket!r} and {settings.output_bucket!r}, "
            f"the arguments say {input_bucket!r} and {output_bucket!r}"
        )
        raise SettingsError(message)


def _event_object(obj: Mapping[str, Any] | str) -> EventObject:
    if isinstance(obj, str):
        return EventObject(obj)
    return EventObject(obj["Key"], obj.get("Size"))


def _described(found: ListedObject) -> dict[str, Any]:
    return {
        "Key": found.key,
        "Size": found.size,
        "ETag": f'"{found.etag}"',
        "LastModified": found.last_modified,
        "StorageClass": found.storage_class,
    }

"""One object's conversion, manifest to manifest: read, transcode, publish, and start over where another was first."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import asdict, replace

from csv_transcode.commit import JSON_TYPE, Commit, read_manifest
from csv_transcode.decode.compression import DecompressionLimits
from csv_transcode.decode.dialect_detection import Given
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading
from csv_transcode.decode.records import Cuts
from csv_transcode.errors import (
    ArchivedError,
    ConflictError,
    ContendedError,
    DeadlineError,
    PreconditionFailedError,
    RejectedError,
    TranscodeError,
    UnexpectedError,
)
from csv_transcode.fanout import GatedExecutor
from csv_transcode.manifest import RecordCounts, SourceRef, fingerprint
from csv_transcode.outputs import ATTEMPT_ID_BYTES, Outputs
from csv_transcode.pipeline import REJECTS, Plan, transcode
from csv_transcode.report import ObjectResult, Outcome
from csv_transcode.s3.delays import full_jitter
from csv_transcode.s3.store import MARKER, Condition
from csv_transcode.s3.upload import abort_stray_uploads
from csv_transcode.stages import PUBLISH, READ, Stages
from csv_transcode.telemetry import get_logger, log_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Executor

    from csv_transcode.commit import StandingManifest
    from csv_transcode.deadline import Deadline, Pace, Progress
    from csv_transcode.events import EventObject
    from csv_transcode.fanout import Gate
    from csv_transcode.keys import MappedKeys
    from csv_transcode.manifest import Manifest
    from csv_transcode.memory_budget import MemoryBudget
    from csv_transcode.pipeline import Pools, Transcoded
    from csv_transcode.runtime import Runtime
    from csv_transcode.s3.store import ObjectStore, StoredObject
    from csv_transcode.settings import Settings
    from csv_transcode.tracing import Tracer

START_OVERS_MAX: Final = 8
OWN_OUTPUT: Final = "an output of this program: the object carries its mark"
_LEVELS: Final = {Outcome.FAILED: logging.ERROR, Outcome.DEFERRED: logging.WARNING}


class OpenSource(Protocol):
    """One version of one object, however its bytes come."""

    bucket: str
    etag: str
    version_id: str | None
    size: int
    metadata: Mapping[str, str]

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes from the start, as often as asked."""

    def close(self) -> None:
        """Let go of it."""


class Workplace(Struct, frozen=True):
    """What conversions share: the store, threads, memory, and how a source is opened (by which threads).

    ``gate`` admits conversions by their memory, ``parts_gate`` parts one by one. ``tracer`` makes spans, if any.
    """

    store: ObjectStore
    runtime: Runtime
    pools: Pools
    io: Executor
    gate: Gate
    parts_gate: Gate
    budget: MemoryBudget
    open_source: Callable[[EventObject, str | None, Executor], OpenSource | None]
    tracer: Tracer

    def part_threads(self, deadline: Deadline) -> Executor:
        """Return ``io`` for the parts of one conversion: behind the gate, and bounded by the deadline."""
        return deadline.bounding(GatedExecutor(self.io, self.parts_gate, deadline))


def plan_of(settings: Settings) -> Plan:
    """Return how ``settings`` want sources converted."""
    reading = Reading(
        given=Given(
            delimiter=settings.delimiter,
            quote_char=settings.quote_char,
            escape_char=settings.escape_char,
            header={"true": True, "false": False}.get(settings.header),
        ),
        encoding=settings.encoding,
        null_values=settings.null_values,
        decimal_separator=settings.decimal_separator,
        limits=DecompressionLimits(settings.max_decompressed_bytes, settings.max_decompression_ratio),
        cuts=Cuts(record_bytes_max=settings.max_record_bytes),
        columns_max=settings.max_columns,
        rejected_ratio_max=settings.max_rejected_ratio,
    )
    rules = TypeRules(
        decimals=settings.decimals == "decimal",
        nanoseconds=settings.nanoseconds,
        strings_only=settings.types == "string",
        decimal_comma=settings.decimal_separator == ",",
        given=settings.column_types,
    )
    return Plan(
        formats=settings.output_formats,
        parquet_compression=settings.parquet_compression,
        avro_codec=settings.avro_codec,
        reading=reading,
        rules=rules,
    )


class ObjectConverter:
    """Converts single objects under one set of settings; any number of threads may ask at once."""

    def __init__(self, settings: Settings, workplace: Workplace) -> None:
        self._settings = settings
        self._fingerprint = fingerprint(settings)
        plan = plan_of(settings)
        self._plan = replace(plan, reading=replace(plan.reading, columns_room=workplace.budget.columns_max))
        self._at = workplace
        self._log = get_logger()

    def convert(self, obj: EventObject, pace: Pace, *, force: bool = False) -> ObjectResult:
        """Convert one object; what becomes of it is in the result, and none of the project's own errors is raised.

        ``force`` converts even what stands converted.
        """
        begun = self._at.runtime.clock()
        visit = _Visit(obj, self._settings.key_map.map(obj.key), pace, self._stages(), force=force)
        with self._at.tracer.span("object", bucket=self._settings.input_bucket, key=obj.key) as span:
            result = self._settled(visit)
            seconds = self._at.runtime.clock() - begun
            result = replace(result, seconds=seconds, stage_seconds=visit.stages.seconds())
            span.tell(outcome=result.outcome.value, bytes_read=result.bytes_read, retryable=result.retryable)
            if result.error is not None:
                span.fail(result.error)
        _log_result(self._log, result)
        if self._log.isEnabledFor(logging.DEBUG):
            _log_stages(self._log, obj.key, visit.stages)
        return result

    def _stages(self) -> Stages:
        """Return the stages of a conversion that begins; the memory is looked at only where the log tells of it."""
        watched = self._log.isEnabledFor(logging.DEBUG)
        runtime = self._at.runtime
        return Stages(runtime.clock, self._at.tracer, runtime.resident_bytes if watched else None)

    def _settled(self, visit: _Visit) -> ObjectResult:
        """Convert the object, and return what became of it."""
        try:
            return self._convert_in_time(visit)
        except ArchivedError as error:
            return ObjectResult(visit.obj.key, Outcome.SKIPPED, f"archived: {error}")
        except DeadlineError as error:
            return _unconverted(visit.obj.key, Outcome.DEFERRED, error)
        except TranscodeError as error:
            self._record_failure(visit, error)
            return _unconverted(visit.obj.key, Outcome.FAILED, error)

    def _convert_in_time(self, visit: _Visit) -> ObjectResult:
        """Convert the object; what is cut short, and would be so again, raises TooLongError.

        An exception that is not ours is this object's alone, too: of a batch, the others are not to suffer.
        """
        try:
            return self._convert(visit)
        except DeadlineError:
            if visit.progress is not None:
                visit.pace.cut_short(visit.progress)
            raise
        except TranscodeError:
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is
            raise UnexpectedError(error) from None

    def _convert(self, visit: _Visit) -> ObjectResult:
        """Start over, at most START_OVERS_MAX times, while other writers or a new version of the source are first.

        At once the first time, when there is mostly one other, which has finished; then after a random wait: of many
        that claim from each other without a pause, nobody gets to the end.
        """
        lost: TranscodeError | None = None
        for attempt in range(1 + START_OVERS_MAX):
            if attempt > 1:
                wait = full_jitter(self._at.runtime, attempt)
                self._at.runtime.sleep(max(0.0, min(wait, visit.pace.deadline.usable_seconds)))
            try:
                return self._attempt(visit, claim=attempt > 0)
            except (PreconditionFailedError, ConflictError) as error:
                lost = _stripped(error)  # the next attempt needs the memory
                log_event(self._log, logging.INFO, "object.started_over", key=visit.obj.key, reason=str(error))
        message = f"other writers were first {1 + START_OVERS_MAX} times, at last: {lost}"
        raise ContendedError(message) from lost

    def _attempt(self, visit: _Visit, *, claim: bool) -> ObjectResult:
        obj, deadline = visit.obj, visit.pace.deadline
        visit.progress = None  # that of an attempt before tells nothing of this one
        deadline.require()
        standing = read_manifest(self._at.store, self._settings.output_bucket, visit.keys.manifest)
        converted = None if visit.force else standing.converted_etag(self._fingerprint)
        with ExitStack() as stack:
            size = self._size_before_download(obj)
            admitted = stack.enter_context(ExitStack())
            self._admit(admitted, obj, size, deadline)
            with visit.stages.at(READ):
                source = self._at.open_source(obj, converted, self._at.part_threads(deadline))
            if source is None:
                return ObjectResult(obj.key, Outcome.SKIPPED, "converted already, from this version and settings")
            stack.callback(source.close)
            if MARKER in source.metadata:
                return ObjectResult(obj.key, Outcome.SKIPPED, OWN_OUTPUT)
            if size is None or source.size > size:  # an event may tell of a smaller version
                admitted.close()
                self._admit(admitted, obj, source.size, deadline)
            visit.source = SourceRef(source.bucket, obj.key, source.version_id, source.etag, source.size)
            visit.progress = visit.pace.begin(source.size)
            outputs = self._outputs(visit.keys, deadline)
            stack.callback(outputs.abort)
            pools = self._at.pools.before(deadline)
            done = transcode(visit.progress.counting(source.chunks), outputs.open, self._plan, pools, visit.stages)
            if done is None:
                return ObjectResult(obj.key, Outcome.SKIPPED, "empty: it holds no record, and no header")
            deadline.require()  # from here on it is finished, if it can be
            with visit.stages.at(PUBLISH):
                manifest = self._publish(visit, visit.source, outputs, done, standing, claim=claim)
        visit.pace.finished(visit.progress)
        return _converted(obj.key, manifest)

    def _outputs(self, keys: MappedKeys, deadline: Deadline) -> Outputs:
        """Return the uploads of an attempt that begins now."""
        attempt_id = self._at.runtime.token(ATTEMPT_ID_BYTES)
        threads = self._at.part_threads(deadline)
        return Outputs(self._at.store, self._settings, self._at.budget, keys, attempt_id=attempt_id, executor=threads)

    def _size_before_download(self, obj: EventObject) -> int | None:
        """Return the object's size if it is known, or has to be.

        awswrangler opens an object by downloading it; and what an event says is not enough to refuse an object for.
        """
        downloaded = self._settings.use_wrangler
        if obj.size is None and not downloaded:
            return None
        if obj.size is not None and self._at.budget.fits(obj.key, obj.size, downloaded=downloaded):
            return obj.size
        seen = self._at.store.head(self._settings.input_bucket, obj.key)
        return None if seen is None else seen.size

    def _admit(self, stack: ExitStack, obj: EventObject, size: int | None, deadline: Deadline) -> None:
        if size is not None:
            wanted = self._at.budget.conversion_bytes(obj.key, size, downloaded=self._settings.use_wrangler)
            stack.enter_context(self._at.gate.admit(wanted, deadline))

    def _publish(
        self,
        visit: _Visit,
        source: SourceRef,
        outputs: Outputs,
        done: Transcoded,
        standing: StandingManifest,
        *,
        claim: bool,
    ) -> Manifest:
        settings = self._settings
        commit = Commit(
            self._at.store,
            settings.output_bucket,
            visit.keys,
            source,
            self._fingerprint,
            outputs.attempt_id,
            self._at.io,
        )

        def describe(stored: Mapping[str, StoredObject]) -> Manifest:
            return outputs.manifest(stored, source, self._fingerprint, done)

        manifest = commit.publish(standing, outputs.uploads, describe, claim=claim, optional=frozenset({REJECTS}))
        if claim or standing.etag is not None or outputs.in_parts:
            self._abort_strays(visit.keys)
        return manifest

    def _abort_strays(self, keys: MappedKeys) -> None:
        """Abort what a killed conversion of the same object may have left; the conversion stands whether or not."""
        try:
            for key in (*(keys.outputs[name] for name in self._settings.output_formats), keys.rejects):
                abort_stray_uploads(self._at.store, self._settings.output_bucket, key)
        except TranscodeError as error:
            log_event(self._log, logging.WARNING, "uploads.not_aborted", error=error)

    def _record_failure(self, visit: _Visit, error: TranscodeError) -> None:
        """Write why the object failed, unless trying again may help; a failure to write it is only logged."""
        if error.retryable:
            return
        try:
            self._at.store.put(
                self._settings.output_bucket,
                visit.keys.failed,
                _failure(visit, error, self._fingerprint),
                condition=Condition.none(),
                attempt_id=self._at.runtime.token(ATTEMPT_ID_BYTES),
                marker="failed",
                content_type=JSON_TYPE,
            )
        except TranscodeError as unwritten:
            log_event(self._log, logging.ERROR, "failure.not_recorded", key=visit.obj.key, error=unwritten)


class _Visit(Struct):
    """One object, the version of it that was seen last, and how far its conversion has come."""

    obj: EventObject
    keys: MappedKeys
    pace: Pace
    stages: Stages
    force: bool
    source: SourceRef | None = None
    progress: Progress | None = None


def _unconverted(key: str, outcome: Outcome, error: TranscodeError) -> ObjectResult:
    return ObjectResult(key, outcome, str(error), error=_stripped(error), retryable=error.retryable)


def _stripped(error: TranscodeError) -> TranscodeError:
    """Return ``error`` without the frames it came through and the rejects it names, for it is kept.

    Frames hold stripes and answers; rejects are megabytes, and recorded by now.
    """
    if isinstance(error, RejectedError):
        error.rejects = ()
    chain: BaseException | None = error
    while chain is not None:
        chain.__traceback__ = None
        chain = chain.__cause__ or chain.__context__
    return error


def _failure(visit: _Visit, error: TranscodeError, settings: str) -> bytes:
    """Return the ``_failed/`` record: why, of which version, and what of it was rejected."""
    source = asdict(visit.source) if visit.source else {"key": visit.obj.key}
    described: dict[str, Any] = {
        "reason": str(error),
        "error": type(error).__name__,
        "source": source,
        "settings_fingerprint": settings,
        "records": None,
        "rejects": [],
    }
    if isinstance(error, RejectedError):
        written = error.read - error.rejected
        described["records"] = asdict(RecordCounts(read=error.read, written=written, rejected=error.rejected))
        described["rejects"] = [reject.to_dict() for reject in error.rejects]
    return json.dumps(described, ensure_ascii=False, indent=1).encode() + b"\n"


def _converted(key: str, manifest: Manifest) -> ObjectResult:
    sizes = {output.format: output.bytes for output in manifest.outputs}
    return ObjectResult(
        key,
        Outcome.CONVERTED,
        records=manifest.records,
        bytes_read=manifest.source.size,
        bytes_parquet=sizes.get("parquet", 0),
        bytes_avro=sizes.get("avro", 0),
        outputs=manifest.outputs,
    )


def _log_result(log: logging.Logger, result: ObjectResult) -> None:
    level = _LEVELS.get(result.outcome, logging.INFO)
    records = asdict(result.records) if result.records else None
    log_event(
        log,
        level,
        f"object.{result.outcome.value}",
        key=result.key,
        reason=result.reason,
        records=records,
        seconds=round(result.seconds, 3),
        bytes_read=result.bytes_read,
        bytes_parquet=result.bytes_parquet,
        bytes_avro=result.bytes_avro,
        retryable=result.retryable,
    )


def _log_stages(log: logging.Logger, key: str, stages: Stages) -> None:
    seconds = {stage: round(spent, 6) for stage, spent in stages.seconds().items()}
    log_event(log, logging.DEBUG, "object.stages", key=key, seconds=seconds, peak_memory_bytes=stages.peak_bytes())

"""One source, start to end: chunks of CSV → typed record batches → Parquet and Avro, in bounded memory.

    source ─ cutter ─┬─ parse, observe, cast, encode Avro ─┬─ in order ─┬─ row groups ─ Parquet target
      (this thread)  └─     (decode threads, a window)    ─┘            ├─ Avro blocks ─ Avro target
                                                                        └─ rejects ───── rejects target

The first pass begins to encode with the types that the first stripe shows. When a later one contradicts them it only
scans on, for the final types, and a second pass encodes. Nothing here knows S3; a target is whatever takes bytes.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

import pyarrow as pa
from msgspec import Struct, field
from msgspec.structs import replace

from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading, read_head
from csv_transcode.decode.stripes import StripeDecoder
from csv_transcode.errors import ConservationError, DialectError, RecordError, RejectedError
from csv_transcode.formats.avro.container import AvroContainer, AvroEncoder
from csv_transcode.formats.avro.schema import ORIGINAL_NAME
from csv_transcode.formats.parquet import ParquetEncoder
from csv_transcode.rejects import FirstRejects, RejectsWriter
from csv_transcode.stages import AVRO, DECODE, PARQUET, PUBLISH, Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor, Future
    from types import TracebackType

    from csv_transcode.deadline import Deadline
    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.reader import Head
    from csv_transcode.decode.records import Stripe
    from csv_transcode.decode.stripes import Observed
    from csv_transcode.formats.avro.container import EncodedBatch
    from csv_transcode.rejects import Reject
    from csv_transcode.schema import ColumnType, Schema

T = TypeVar("T")

REJECTS: Final = "rejects"


class Target(Protocol):
    """Where one output's bytes go. Left by an exception, or without having been published, it leaves nothing behind."""

    def write(self, data: Any, /) -> object:  # noqa: ANN401 -- any bytes-like object
        """Take the next bytes; does not keep a reference to them."""

    def finish(self) -> None:
        """Take note that all bytes have been written."""

    def abort(self) -> None:
        """Throw away what has been written."""


class Plan(Struct, frozen=True):
    """How a source is to be converted: all that decides bytes, and the limits."""

    formats: tuple[str, ...] = ("parquet", "avro")
    parquet_compression: str = "snappy"
    avro_codec: str = "snappy"
    reading: Reading = field(default_factory=Reading)
    rules: TypeRules = field(default_factory=TypeRules)


class Pools(Struct, frozen=True):
    """The threads one source is converted with.

    ``decode`` runs parsing, typing and Avro encoding, ``encode`` writes row groups; no task waits for another.
    ``window`` is how many stripes are in flight at most.
    """

    decode: Executor
    encode: Executor
    window: int

    def before(self, deadline: Deadline) -> Pools:
        """Return these threads as a conversion uses them that has to end: DeadlineError at the next stripe or part."""
        return replace(self, decode=deadline.bounding(self.decode), encode=deadline.bounding(self.encode))


class Transcoded(Struct, frozen=True):
    """What a conversion came to: every output has ``written`` rows, and all targets are finished.

    ``targets`` has one a format and, under REJECTS, that of the rejects, whose lines are ``reject_lines``: those of the
    ``rejected`` records, and of what stands before the header.
    """

    dialect: Dialect
    schema: Schema
    written: int
    rejected: int
    reject_lines: int
    targets: Mapping[str, Target]


def transcode(
    open_chunks: Callable[[], Iterable[bytes]],
    open_targets: Callable[[], Mapping[str, Target]],
    plan: Plan,
    pools: Pools,
    stages: Stages | None = None,
) -> Transcoded | None:
    """Convert the source that ``open_chunks`` gives to fresh targets; None where it is empty.

    ``open_targets`` returns one target a format, and one under REJECTS. Both are called once a pass, so at most twice.
    ``stages`` is told what takes how long.
    Raises SourceError for what cannot be read (RejectedError where too much of it was rejected), ConservationError
    where counts disagree, and whatever source and targets raise; targets are then aborted.
    """
    stages = stages or Stages.untimed()
    with closing(stages.reading(open_chunks)) as chunks:
        with stages.at(DECODE):
            head = read_head(chunks, plan.reading)
        if head is None:
            return None
        scan = _Scan(StripeDecoder(head.names, head.dialect, plan.rules), head, stages)
        encoding = _first_pass(scan, open_targets, plan, pools)
    if encoding is None:
        encoding = _second_pass(open_chunks, scan, open_targets, plan, pools)
    with encoding:
        lines = encoding.finish(scan)
    return Transcoded(head.dialect, scan.schema(), scan.read - scan.rejected, scan.rejected, lines, encoding.targets)


def read_table(chunks: Iterable[bytes], plan: Plan) -> pa.Table:
    """Return the whole source as one typed table; raises SourceError where a record would be rejected.

    The table is in memory, and until its types are decided so are its strings.
    """
    head = read_head(chunks, plan.reading)
    if head is None:
        message = "the source is empty: it holds no record, and no header"
        raise DialectError(message)
    scan = _Scan(StripeDecoder(head.names, head.dialect, plan.rules), head, Stages.untimed())
    seen = []
    for stripe in head.stripes(scan.decoder):
        observed = scan.decoder.observe(scan.decoder.parse(stripe, scan.evidence), scan.evidence)
        for reject in observed.rejects:
            raise _record_error(reject.counted_from(scan.read))
        scan.add(observed.evidence, observed.count, ())
        seen.append(observed)
    types = scan.schema().types
    batches = [scan.decoder.cast(observed, types) for observed in seen]
    return pa.Table.from_batches([batch for batch in batches if batch], scan.decoder.arrow_schema(types))


def _record_error(reject: Reject) -> RecordError:
    return RecordError(
        reject.detail,
        record=reject.record,
        line=reject.line,
        offset=reject.offset,
        length=len(reject.raw),
        reason=reject.reason,
    )


class _Scan:
    """What the stripes so far have shown, in order; ``read`` counts their records, ``rejected`` ones included."""

    def __init__(self, decoder: StripeDecoder, head: Head, stages: Stages) -> None:
        self.decoder = decoder
        self.head = head
        self.stages = stages
        self.evidence: tuple[ColumnEvidence, ...] = (ColumnEvidence(),) * len(decoder.names)
        self.read = 0
        self.rejected = 0
        self._first = FirstRejects()

    def add(self, shown: Sequence[ColumnEvidence], count: int, rejects: Sequence[Reject]) -> None:
        """Take what the next stripe, of so many records, has shown; its rejects count from the start of the file."""
        self.evidence = tuple(
            known.merged(later.shifted(self.read)) for known, later in zip(self.evidence, shown, strict=True)
        )
        self.read += count
        self.rejected += len(rejects)
        self._first.add(rejects)

    def schema(self) -> Schema:
        """Return what all stripes so far decide."""
        return self.decoder.decide(self.evidence)

    def require_few_rejected(self, ratio_max: float) -> None:
        """Raise RejectedError where more than this share of the records was rejected."""
        if self.rejected <= ratio_max * max(self.read, 1) or self.rejected / self.read <= ratio_max:
            return
        first = self._first.rejects[0] if self._first.rejects else None
        example = f", the first is {_record_error(first)}" if first else ""
        message = (
            f"{self.rejected} of {self.read} records are rejected, which is more than MAX_REJECTED_RATIO={ratio_max:g} "
            f"allows{example}"
        )
        raise RejectedError(message, read=self.read, rejected=self.rejected, rejects=tuple(self._first.rejects))


class _Decoded(Struct, frozen=True):
    """What one stripe of ``count`` records has shown, and its part of the outputs.

    ``batch`` is None where the types do not fit it, or none were asked for. ``rejects`` count from the stripe's start.
    The strings are not kept: they are as large as the batch, and several stripes wait for their turn.
    """

    evidence: tuple[ColumnEvidence, ...]
    count: int
    rejects: tuple[Reject, ...]
    batch: pa.RecordBatch | None = None
    avro: EncodedBatch | None = None


class _Encoding:
    """One pass's outputs, as far as they are. A ``with``: an exception aborts its targets."""

    def __init__(
        self,
        schema: pa.Schema,
        scan: _Scan,
        targets: Mapping[str, Target],
        plan: Plan,
        pools: Pools,
    ) -> None:
        self.targets = targets
        self._pools = pools
        self._stages = scan.stages
        self._group: Future[Any] | None = None  # what still writes to the Parquet target
        parquet, avro = targets.get("parquet"), targets.get("avro")
        self._parquet = ParquetEncoder(schema, plan.parquet_compression, parquet.write) if parquet else None
        self.avro = AvroEncoder.plan(_with_originals(schema, scan.head.header), plan.avro_codec) if avro else None
        self._container = AvroContainer(self.avro, avro.write) if self.avro and avro else None
        self._rejects = RejectsWriter(targets[REJECTS])
        self._rejects.write(scan.head.preamble)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()

    def append(self, batch: pa.RecordBatch | None, avro: EncodedBatch | None, rejects: Sequence[Reject]) -> None:
        """Take the next stripe, which has a batch; its rejects count from the start of the file."""
        if batch is None:
            message = "a value does not fit the type that the whole file's evidence decided"
            raise ConservationError(message)
        self._rejects.write(rejects)
        if self._container and avro is not None:
            with self._stages.at(AVRO):
                self._container.append(avro)
        if self._parquet:
            with self._stages.at(PARQUET):
                group = self._parquet.append(batch)
            if group:
                self._await_group()
                self._group = self._pools.encode.submit(self._in_parquet, self._parquet.write_group, group)

    def finish(self, scan: _Scan) -> int:
        """Write what is left, and return the lines of the rejects.

        Raises ConservationError unless every record that was read is in every output, or among the rejects.
        """
        self._await_group()
        rows = {}
        self._group = ending = (
            self._pools.encode.submit(self._in_parquet, self._parquet.close) if self._parquet else None
        )
        if self._container:
            with self._stages.at(AVRO):
                self._container.close()
            rows["avro"] = self._container.record_count
        if ending:
            rows["parquet"] = ending.result()
        rejected = self._rejects.records
        if any(count + rejected != scan.read for count in rows.values()) or rejected != scan.rejected:
            message = (
                f"{scan.read} records were read, {rejected} rejected, and the outputs hold {rows}: nothing is published"
            )
            raise ConservationError(message)
        for form, target in self.targets.items():  # which waits for the last parts of an upload
            with self._stages.at(PUBLISH if form == REJECTS else form):
                target.finish()
        return self._rejects.lines

    def abort(self) -> None:
        """Throw the outputs away, once nothing writes to them any more."""
        if self._group is not None and not self._group.cancel():
            self._group.exception()
        if self._parquet:
            self._parquet.abort()
        for target in self.targets.values():
            target.abort()

    def _in_parquet(self, work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401 -- whatever work takes
        with self._stages.at(PARQUET):
            return work(*args)

    def _await_group(self) -> None:
        if self._group is not None:
            self._group.result()  # where that raises, it may still be written: abort has to know
            self._group = None


def _with_originals(schema: pa.Schema, header: Sequence[str]) -> pa.Schema:
    """Return ``schema`` with the header's own names beside the columns', for Avro to say both."""
    named = [
        column.with_metadata({ORIGINAL_NAME: name.encode()}) if name else column
        for column, name in zip(schema, header, strict=True)
    ]
    return pa.schema(named)


def _first_pass(
    scan: _Scan, open_targets: Callable[[], Mapping[str, Target]], plan: Plan, pools: Pools
) -> _Encoding | None:
    """Observe every stripe; return the outputs where the types that the first one shows hold to the end."""
    stripes = scan.stages.each(DECODE, scan.head.stripes(scan.decoder))
    begun = [_observe(scan, stripe, scan.evidence) for stripe in islice(stripes, 1)]
    for observed in begun:
        scan.add(observed.evidence, observed.count, observed.rejects)
    types = scan.schema().types
    with _Encoding(scan.decoder.arrow_schema(types), scan, open_targets(), plan, pools) as encoding:
        for observed in begun:
            decoded = _encode(scan, observed, types, encoding.avro)
            encoding.append(decoded.batch, decoded.avro, decoded.rejects)
        holds = True

        def decode(stripe: Stripe) -> Callable[[], _Decoded]:
            return partial(_decode, scan, stripe, scan.evidence, types if holds else None, encoding.avro)

        for decoded in _in_order(pools, decode, stripes):
            rejects = [reject.counted_from(scan.read) for reject in decoded.rejects]
            scan.add(decoded.evidence, decoded.count, rejects)
            if holds and scan.schema().types == types:
                encoding.append(decoded.batch, decoded.avro, rejects)
            elif holds:
                holds = False
                encoding.abort()
        scan.require_few_rejected(plan.reading.rejected_ratio_max)
    return encoding if holds else None


def _second_pass(
    open_chunks: Callable[[], Iterable[bytes]],
    scan: _Scan,
    open_targets: Callable[[], Mapping[str, Target]],
    plan: Plan,
    pools: Pools,
) -> _Encoding:
    """Encode the whole source with the types that all of it has shown."""
    types = scan.schema().types
    with closing(scan.stages.reading(open_chunks)) as chunks:
        stripes = scan.stages.each(DECODE, scan.head.again(chunks).stripes(scan.decoder))
        with _Encoding(scan.decoder.arrow_schema(types), scan, open_targets(), plan, pools) as encoding:
            read = 0

            def decode(stripe: Stripe) -> Callable[[], _Decoded]:
                return partial(_decode, scan, stripe, None, types, encoding.avro)

            for decoded in _in_order(pools, decode, stripes):
                encoding.append(decoded.batch, decoded.avro, [one.counted_from(read) for one in decoded.rejects])
                read += decoded.count
    return encoding


def _decode(
    scan: _Scan,
    stripe: Stripe,
    known: Sequence[ColumnEvidence] | None,
    types: Sequence[ColumnType] | None,
    avro: AvroEncoder | None,
) -> _Decoded:
    """Decode one stripe, and encode it where ``types`` are given; ``known`` is None where nothing is to be observed.

    For any thread: of ``scan``, what changes is passed as it was when the stripe's turn came.
    """
    observed = _observe(scan, stripe, known)
    if types is None:
        return _Decoded(observed.evidence, observed.count, observed.rejects)
    return _encode(scan, observed, types, avro)


def _observe(scan: _Scan, stripe: Stripe, known: Sequence[ColumnEvidence] | None) -> Observed:
    with scan.stages.at(DECODE):
        return scan.decoder.observe(scan.decoder.parse(stripe, known), known)


def _encode(scan: _Scan, observed: Observed, types: Sequence[ColumnType], avro: AvroEncoder | None) -> _Decoded:
    with scan.stages.at(DECODE):
        batch = scan.decoder.cast(observed, types)
    if avro is None or batch is None:
        return _Decoded(observed.evidence, observed.count, observed.rejects, batch)
    with scan.stages.at(AVRO):
        encoded = avro.encode(batch)
    return _Decoded(observed.evidence, observed.count, observed.rejects, batch, encoded)


def _in_order(
    pools: Pools, task: Callable[[Stripe], Callable[[], _Decoded]], stripes: Iterable[Stripe]
) -> Iterator[_Decoded]:
    """Yield what the stripes' tasks return, in order, at most ``pools.window`` under way."""
    pending: deque[Future[_Decoded]] = deque()
    try:
        for stripe in stripes:
            pending.append(pools.decode.submit(task(stripe)))
            if len(pending) >= pools.window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()

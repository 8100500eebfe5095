"""One source, start to end: chunks of CSV → typed record batches → Parquet and Avro, in bounded memory.

    source ─ cutter ─┬─ parse, observe, cast, encode Avro ─┬─ in order ─┬─ row groups ─ Parquet target
      (this thread)  └─     (decode threads, a window)    ─┘            └─ Avro blocks ─ Avro target

The first pass begins to encode with the types that the first stripe shows. When a later one contradicts them it only
scans on, for the final types, and a second pass encodes. Nothing here knows S3; a target is whatever takes bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, Self

import pyarrow as pa

from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import StripeDecoder, read_head
from csv_transcode.decode.records import Cuts
from csv_transcode.errors import ConservationError, DialectError, RecordError, SourceError, ValueTypeError
from csv_transcode.formats.avro.container import AvroContainer, AvroEncoder
from csv_transcode.formats.avro.schema import ORIGINAL_NAME
from csv_transcode.formats.parquet import ParquetEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor, Future
    from types import TracebackType

    from csv_transcode.decode.reader import Head, Observed
    from csv_transcode.decode.records import Stripe
    from csv_transcode.formats.avro.container import EncodedBatch
    from csv_transcode.schema import ColumnType, Schema


class Target(Protocol):
    """Where one output's bytes go. Left by an exception, or without having been published, it leaves nothing behind."""

    def write(self, data: Any, /) -> object:  # noqa: ANN401 -- any bytes-like object
        """Take the next bytes; does not keep a reference to them."""

    def finish(self) -> None:
        """Take note that all bytes have been written."""

    def abort(self) -> None:
        """Throw away what has been written."""


@dataclass(frozen=True)
class Plan:
    """How a source is to be converted: all that decides bytes, and the limits."""

    formats: tuple[str, ...] = ("parquet", "avro")
    parquet_compression: str = "snappy"
    avro_codec: str = "snappy"
    dialect: Dialect = field(default_factory=Dialect)
    rules: TypeRules = field(default_factory=TypeRules)
    cuts: Cuts = field(default_factory=Cuts)
    columns_max: int = 20_000


@dataclass(frozen=True)
class Pools:
    """The threads one source is converted with.

    ``decode`` runs parsing, typing and Avro encoding, ``encode`` writes row groups; no task waits for another.
    ``window`` is how many stripes are in flight at most.
    """

    decode: Executor
    encode: Executor
    window: int


@dataclass(frozen=True)
class Transcoded:
    """What a conversion came to: every target has ``records`` rows, and is finished."""

    dialect: Dialect
    schema: Schema
    records: int
    targets: Mapping[str, Target]


def transcode(
    open_chunks: Callable[[], Iterable[bytes]],
    open_targets: Callable[[], Mapping[str, Target]],
    plan: Plan,
    pools: Pools,
) -> Transcoded | None:
    """Convert the source that ``open_chunks`` gives to fresh targets, one a format; None where it is empty.

    ``open_chunks`` and ``open_targets`` are called once a pass, so at most twice. Raises SourceError for what cannot be
    read, ConservationError where counts disagree, and whatever source and targets raise; targets are then aborted.
    """
    head = read_head(open_chunks(), plan.dialect, plan.cuts, columns_max=plan.columns_max)
    if head is None:
        return None
    scan = _Scan(StripeDecoder(head.names, head.dialect, plan.rules), head.header)
    encoding = _first_pass(head, scan, open_targets, plan, pools)
    if encoding is None:
        encoding = _second_pass(open_chunks, scan, open_targets, plan, pools)
    with encoding:
        encoding.finish(scan.records)
    return Transcoded(head.dialect, scan.schema(), scan.records, encoding.targets)


def read_table(chunks: Iterable[bytes], plan: Plan) -> pa.Table:
    """Return the whole source as one typed table; raises SourceError where a record would be rejected.

    The table is in memory, and until its types are decided so are its strings.
    """
    head = read_head(chunks, plan.dialect, plan.cuts, columns_max=plan.columns_max)
    if head is None:
        message = "the source is empty: it holds no record, and no header"
        raise DialectError(message)
    scan = _Scan(StripeDecoder(head.names, head.dialect, plan.rules), head.header)
    seen = []
    for stripe in head.stripes():
        try:
            observed = _observe(scan.decoder, stripe, scan.evidence)
        except RecordError as error:
            raise error.counted_from(scan.records) from error
        scan.add(observed.evidence, observed.strings.num_rows)
        seen.append(observed)
    types = scan.schema().types
    batches = [scan.decoder.cast(observed, types) for observed in seen]
    return pa.Table.from_batches([batch for batch in batches if batch], scan.decoder.arrow_schema(types))


class _Scan:
    """What the stripes so far have shown, in order."""

    def __init__(self, decoder: StripeDecoder, header: Sequence[str]) -> None:
        self.decoder = decoder
        self.header = header
        self.evidence: tuple[ColumnEvidence, ...] = (ColumnEvidence(),) * len(decoder.names)
        self.records = 0

    def add(self, shown: Sequence[ColumnEvidence], records: int) -> None:
        """Take what the next stripe, of so many records, has shown."""
        self.evidence = tuple(
            known.merged(later.shifted(self.records)) for known, later in zip(self.evidence, shown, strict=True)
        )
        self.records += records

    def schema(self) -> Schema:
        """Return what all stripes so far decide."""
        return self.decoder.decide(self.evidence)


@dataclass(frozen=True)
class _Decoded:
    """What one stripe has shown, and its part of the outputs.

    ``batch`` is None where the types do not fit it, or none were asked for. The strings are not kept: they are as large
    as the batch, and several stripes wait for their turn.
    """

    evidence: tuple[ColumnEvidence, ...]
    records: int
    batch: pa.RecordBatch | None = None
    avro: EncodedBatch | None = None


class _Encoding:
    """One pass's outputs, as far as they are. A ``with``: an exception aborts its targets."""

    def __init__(
        self, schema: pa.Schema, header: Sequence[str], targets: Mapping[str, Target], plan: Plan, pools: Pools
    ) -> None:
        self.targets = targets
        self._pools = pools
        self._group: Future[Any] | None = None  # what still writes to the Parquet target
        parquet, avro = targets.get("parquet"), targets.get("avro")
        self._parquet = ParquetEncoder(schema, plan.parquet_compression, parquet.write) if parquet else None
        self.avro = AvroEncoder.plan(_with_originals(schema, header), plan.avro_codec) if avro else None
        self._container = AvroContainer(self.avro, avro.write) if self.avro and avro else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()

    def append(self, decoded: _Decoded) -> None:
        """Take the next stripe, which has a batch."""
        if decoded.batch is None:
            message = "a value does not fit the type that the whole file's evidence decided"
            raise ConservationError(message)
        if self._container and decoded.avro is not None:
            self._container.append(decoded.avro)
        group = self._parquet.append(decoded.batch) if self._parquet else None
        if group and self._parquet:
            self._await_group()
            self._group = self._pools.encode.submit(self._parquet.write_group, group)

    def finish(self, records: int) -> None:
        """Write what is left; raises ConservationError unless every output has ``records`` rows."""
        self._await_group()
        rows = {}
        self._group = closing = self._pools.encode.submit(self._parquet.close) if self._parquet else None
        if self._container:
            self._container.close()
            rows["avro"] = self._container.record_count
        if closing:
            rows["parquet"] = closing.result()
        if any(count != records for count in rows.values()):
            message = f"{records} records were read, and the outputs hold {rows}: nothing is published"
            raise ConservationError(message)
        for target in self.targets.values():
            target.finish()

    def abort(self) -> None:
        """Throw the outputs away, once nothing writes to them any more."""
        if self._group is not None and not self._group.cancel():
            self._group.exception()
        if self._parquet:
            self._parquet.abort()
        for target in self.targets.values():
            target.abort()

    def _await_group(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.result()


def _with_originals(schema: pa.Schema, header: Sequence[str]) -> pa.Schema:
    """Return ``schema`` with the header's own names beside the columns', for Avro to say both."""
    named = [
        column.with_metadata({ORIGINAL_NAME: name.encode()}) if name else column
        for column, name in zip(schema, header, strict=True)
    ]
    return pa.schema(named)


def _first_pass(
    head: Head, scan: _Scan, open_targets: Callable[[], Mapping[str, Target]], plan: Plan, pools: Pools
) -> _Encoding | None:
    """Observe every stripe; return the outputs where the types that the first one shows hold to the end."""
    stripes = head.stripes()
    begun = [_observe(scan.decoder, stripe, scan.evidence) for stripe in islice(stripes, 1)]
    for observed in begun:
        scan.add(observed.evidence, observed.strings.num_rows)
    types = scan.schema().types
    with _Encoding(scan.decoder.arrow_schema(types), scan.header, open_targets(), plan, pools) as encoding:
        for observed in begun:
            encoding.append(_encode(scan.decoder, observed, types, encoding.avro))
        holds = True

        def decode(stripe: Stripe) -> Callable[[], _Decoded]:
            return partial(_decode, scan.decoder, stripe, scan.evidence, types if holds else None, encoding.avro)

        for decoded in _in_order(pools, decode, stripes, scan):
            scan.add(decoded.evidence, decoded.records)
            if holds and scan.schema().types == types:
                encoding.append(decoded)
            elif holds:
                holds = False
                encoding.abort()
    return encoding if holds else None


def _second_pass(
    open_chunks: Callable[[], Iterable[bytes]],
    scan: _Scan,
    open_targets: Callable[[], Mapping[str, Target]],
    plan: Plan,
    pools: Pools,
) -> _Encoding:
    """Encode the whole source with the types that all of it has shown."""
    head = read_head(open_chunks(), plan.dialect, plan.cuts, columns_max=plan.columns_max)
    stripes = head.stripes() if head else iter(())
    types = scan.schema().types
    with _Encoding(scan.decoder.arrow_schema(types), scan.header, open_targets(), plan, pools) as encoding:

        def decode(stripe: Stripe) -> Callable[[], _Decoded]:
            return partial(_decode, scan.decoder, stripe, None, types, encoding.avro)

        for decoded in _in_order(pools, decode, stripes, None):
            encoding.append(decoded)
    return encoding


def _decode(
    decoder: StripeDecoder,
    stripe: Stripe,
    known: Sequence[ColumnEvidence] | None,
    types: Sequence[ColumnType] | None,
    avro: AvroEncoder | None,
) -> _Decoded:
    """Decode one stripe, and encode it where ``types`` are given; ``known`` is None where nothing is to be observed."""
    observed = _observe(decoder, stripe, known)
    if types is None:
        return _Decoded(observed.evidence, observed.strings.num_rows)
    return _encode(decoder, observed, types, avro)


def _observe(decoder: StripeDecoder, stripe: Stripe, known: Sequence[ColumnEvidence] | None) -> Observed:
    strings = decoder.parse(stripe)
    if known is None:
        return decoder.unobserved(strings)
    try:
        return decoder.observe(strings, known)
    except ValueTypeError as error:
        raise decoder.place(error, stripe) from error


def _encode(
    decoder: StripeDecoder, observed: Observed, types: Sequence[ColumnType], avro: AvroEncoder | None
) -> _Decoded:
    batch = decoder.cast(observed, types)
    encoded = avro.encode(batch) if avro and batch is not None else None
    return _Decoded(observed.evidence, observed.strings.num_rows, batch, encoded)


def _in_order(
    pools: Pools, task: Callable[[Stripe], Callable[[], _Decoded]], stripes: Iterable[Stripe], scan: _Scan | None
) -> Iterator[_Decoded]:
    """Yield what the stripes' tasks return, in order, at most ``pools.window`` under way.

    Records in errors are counted from the start of the file, given the ``scan`` of what has been yielded so far.
    """
    pending: deque[Future[_Decoded]] = deque()
    cut = _Cut(stripes)
    try:
        for stripe in cut:
            pending.append(pools.decode.submit(task(stripe)))
            if len(pending) >= pools.window:
                yield _result(pending.popleft(), scan)
        while pending:
            yield _result(pending.popleft(), scan)
        cut.require_whole()
    finally:
        for future in pending:
            future.cancel()


class _Cut:
    """Stripes up to the first that cannot be cut, which is an error only once all before it have been looked at."""

    def __init__(self, stripes: Iterable[Stripe]) -> None:
        self._stripes = stripes
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Stripe]:
        try:
            yield from self._stripes
        except SourceError as error:
            self._error = error

    def require_whole(self) -> None:
        if self._error is not None:
            raise self._error


def _result(future: Future[_Decoded], scan: _Scan | None) -> _Decoded:
    try:
        return future.result()
    except RecordError as error:
        raise error.counted_from(scan.records if scan else 0) from error

"""A whole source looked at and nothing written: what it would become, and what has decided that."""

from __future__ import annotations

from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.inference import ruled_out_each
from csv_transcode.decode.reader import read_head
from csv_transcode.decode.stripes import StripeDecoder
from csv_transcode.rejects import FirstRejects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.reader import Head
    from csv_transcode.decode.records import Stripe
    from csv_transcode.decode.stripes import Observed
    from csv_transcode.pipeline import Plan, Pools
    from csv_transcode.rejects import Reject
    from csv_transcode.schema import Schema


class Survey(Struct, frozen=True):
    """What all of a source has shown.

    ``ruled_out`` has, for each column, every narrower type and the first record (from 1) that ended it; ``reasons``
    how many records would be rejected for each reason, ``rejects`` the first of them, preamble included.
    """

    dialect: Dialect
    mark_bytes: int
    schema: Schema
    ruled_out: tuple[Mapping[str, int], ...]
    read: int
    reasons: Mapping[str, int]
    rejects: tuple[Reject, ...]

    @property
    def rejected(self) -> int:
        """The records that would be rejected."""
        return sum(self.reasons.values())


def survey(chunks: Iterable[bytes], plan: Plan, pools: Pools) -> Survey | None:
    """Look at the source that ``chunks`` hold, in bounded memory; None where it is empty.

    Raises SourceError where it cannot be read. That too much of it would be rejected is for the caller to say.
    """
    head = read_head(chunks, plan.reading)
    if head is None:
        return None
    decoder = StripeDecoder(head.names, head.dialect, plan.rules)
    evidence: tuple[ColumnEvidence, ...] = (ColumnEvidence(),) * len(head.names)
    read, reasons, first = 0, Counter[str](), FirstRejects()
    first.add(head.preamble)
    for observed in _observed(head, decoder, pools):
        pairs = zip(evidence, observed.evidence, strict=True)
        evidence = tuple(known.merged(later.shifted(read)) for known, later in pairs)
        reasons.update(reject.reason for reject in observed.rejects)
        first.add(reject.counted_from(read) for reject in observed.rejects)
        read += observed.count
    schema = decoder.decide(evidence)
    columns = zip(schema.columns, evidence, strict=True)
    ruled_out = tuple(ruled_out_each(column, shown, plan.rules) for column, shown in columns)
    return Survey(head.dialect, head.encoding.mark_bytes, schema, ruled_out, read, dict(reasons), tuple(first.rejects))


def _observed(head: Head, decoder: StripeDecoder, pools: Pools) -> Iterator[Observed]:
    """Yield what each stripe shows, in order, at most ``pools.window`` of them under way.

    A stripe is looked at without what others have shown: the evidence comes to the same.
    """
    nothing: Sequence[ColumnEvidence] = (ColumnEvidence(),) * len(decoder.names)
    pending: deque[Future[Observed]] = deque()
    try:
        for stripe in head.stripes(decoder):
            pending.append(pools.decode.submit(partial(_look, decoder, stripe, nothing)))
            if len(pending) >= pools.window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _look(decoder: StripeDecoder, stripe: Stripe, known: Sequence[ColumnEvidence]) -> Observed:
    return decoder.observe(decoder.parse(stripe), known)

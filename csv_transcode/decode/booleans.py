"""Which columns are boolean, a column at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from csv_transcode import kernels
from csv_transcode.decode import arrays, grammar
from csv_transcode.decode.evidence import NEVER, BooleanEvidence, Uniform

if TYPE_CHECKING:
    from csv_transcode.decode.texts import Texts

LENGTHS: Final = (4, 5)


def observe(texts: Texts) -> BooleanEvidence:
    """Return what the column's values show of booleans."""
    if int(texts.lengths.min()) in LENGTHS and int(texts.lengths.max()) in LENGTHS:
        spelling = grammar.SPELLING_OF_BOOLEAN.get(texts.array[0].as_py())
        if spelling and kernels.are_all(kernels.is_in(texts.array, arrays.string_array(grammar.BOOLEANS[spelling]))):
            return BooleanEvidence(spelling=Uniform(spelling, texts.record(0)))
    return _observe_each(texts)


def _observe_each(texts: Texts) -> BooleanEvidence:
    spellings = Uniform()
    for record, text in texts.values():
        spelling = grammar.SPELLING_OF_BOOLEAN.get(text)
        if spelling is None:
            return BooleanEvidence(record, spellings)
        spellings = spellings.seen(spelling, record)
    return BooleanEvidence(NEVER, spellings)

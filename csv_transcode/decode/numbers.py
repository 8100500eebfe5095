"""Which columns are double or decimal, a column at a time.

Values made of digits, points and minus signs alone are looked at with NumPy; the rest (exponents, nan, inf, and what is
no number) one by one, by grammar.py. Either way the same first records come out (tests/decode/test_numbers.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from csv_transcode import kernels
from csv_transcode.decode import arrays, grammar
from csv_transcode.decode.evidence import NEVER, Digits, NumberEvidence, Uniform
from csv_transcode.schema import DECIMAL_PRECISION_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy.typing as npt

    from csv_transcode.decode.texts import Mask, Texts

    Positions = npt.NDArray[np.signedinteger[Any]]
    Shape = tuple[grammar.Number, bool, bool] | tuple[str, str] | None

MINUS, POINT, ZERO, NINE = (ord(char) for char in "-.09")
EXACT_DIGITS: Final = 15  # so many significant digits survive in any double
NOTHING: Final = NumberEvidence()
ORDINARY_MIN, ORDINARY_MAX = 1e-290, 1e290  # between them a double has all its 53 bits
EXACT_INTEGER: Final = 2**53  # up to here every integer is a double, and repr writes all its digits


def of_integers(texts: Texts, values: pa.Array[Any]) -> NumberEvidence:
    """Return what a column of int64 ``values`` shows of numbers, should a later value have a point."""
    first = texts.record(0)
    digits = int(texts.lengths.max())
    return NumberEvidence(
        whole=first,
        inexact=_first_inexact_integer(texts, values),
        scale=Uniform(0, first),
        digits=Digits(digits),
    )


def _first_inexact_integer(texts: Texts, values: pa.Array[Any]) -> int:
    if int(texts.lengths.max()) <= EXACT_DIGITS:
        return NEVER
    numbers = arrays.values_of(values, np.int64)
    large = np.flatnonzero((numbers > EXACT_INTEGER) | (numbers < -EXACT_INTEGER))
    return next((record for record, text in _some(texts, large) if not grammar.is_exact_double(text)), NEVER)


def observe(texts: Texts, known: NumberEvidence = NOTHING) -> tuple[NumberEvidence, pa.Array[Any] | None]:
    """Return (what the values show of numbers, the doubles where all values are plain numbers).

    What ``known``, the evidence of earlier records, shows already need not be shown again.
    """
    if _shape(texts.array[0].as_py()) is None:  # the rest no longer matters
        return NumberEvidence(unfit=texts.record(0)), None
    low, high = texts.byte_range
    if low >= MINUS and high <= NINE:
        uniform = _observe_uniform(texts, known)
        return _observe_plain(texts, known) if uniform is None else uniform
    foreign = np.flatnonzero((texts.window < MINUS) | (texts.window > NINE)) + int(texts.starts[0])
    others = np.unique(np.searchsorted(texts.ends, foreign, side="right"))
    evidence = _observe_each(texts.subset(others))
    plain = np.setdiff1d(np.arange(len(texts)), others, assume_unique=True)
    if len(plain) == 0:
        return evidence, None
    return evidence.merged(_observe_plain(texts.subset(plain), known)[0]), None


def _observe_uniform(texts: Texts, known: NumberEvidence) -> tuple[NumberEvidence, pa.Array[Any]] | None:
    """Return evidence and doubles where all values have the scale of all values before, and no more than 15 digits.

    That is most columns with a point, and takes half the time of ``_observe_plain``; None leaves it to that.
    """
    scale = known.scale.value
    if not isinstance(scale, int) or scale == 0 or min(known.scale.differs, known.exponent) != NEVER:
        return None
    dots = texts.ends - scale - 1
    digits = _digits_from(texts)
    whole_digits = dots - digits
    if int(whole_digits.min()) < 1 or int(whole_digits.max()) + scale > EXACT_DIGITS:
        return None
    spare_zeros = (texts.bytes_at(digits) == ZERO) & (whole_digits > 1)
    if bool((texts.bytes_at(dots) != POINT).any() or spare_zeros.any()):
        return None
    try:
        values = kernels.cast(texts.array, pa.float64())  # refuses a second point, and a minus sign anywhere else
    except pa.ArrowInvalid:
        return None
    first = texts.record(0)
    ends_in_zero = _unless(known.lone_zero if scale == 1 else known.trailing_zero, lambda: _first_zero_end(texts))
    return NumberEvidence(
        point_or_exponent=first,
        lone_zero=ends_in_zero if scale == 1 else NEVER,
        trailing_zero=ends_in_zero if scale > 1 else NEVER,
        negative_zero=_unless(known.negative_zero, lambda: _first_negative_zero(texts, digits, values)),
        scale=Uniform(scale, first),
        integer_part=Uniform(True, first),  # noqa: FBT003 -- the attribute's value
        digits=Digits(int(whole_digits.max()) + scale),
    ), values


def _unless(seen: int, observed: Callable[[], int]) -> int:
    """Return what is ``observed``, unless an earlier record was ``seen`` to show the same."""
    return observed() if seen == NEVER else NEVER


def _first_zero_end(texts: Texts) -> int:
    return _first(texts, texts.bytes_at(texts.ends - 1) == ZERO)


def _observe_plain(texts: Texts, known: NumberEvidence) -> tuple[NumberEvidence, pa.Array[Any] | None]:
    """Observe values of digits, points, minus signs (and slashes) alone."""
    dots = _points(texts)
    try:
        values = kernels.cast(texts.array, pa.float64())
    except pa.ArrowInvalid:
        return _observe_each(texts), None
    if dots is None or _has_odd_number(texts, dots):
        return _observe_each(texts), None
    return _describe(texts, dots, values, known), values


def _points(texts: Texts) -> Positions | None:
    """Return where each value's point is, or its end where it has none; None where one has several."""
    points = np.flatnonzero(texts.window == POINT) + int(texts.starts[0])
    if len(points) == len(texts) and bool((points >= texts.starts).all() and (points < texts.ends).all()):
        return points
    owners = np.searchsorted(texts.ends, points, side="right")
    if len(owners) > 1 and bool((np.diff(owners) == 0).any()):
        return None
    dots = texts.ends.copy()
    dots[owners] = points
    return dots


def _digits_from(texts: Texts) -> Positions:
    """Return where each value begins behind its sign."""
    if texts.byte_range[0] > MINUS:
        return texts.starts
    return texts.starts + (texts.bytes_at(texts.starts) == MINUS)  # type: ignore[no-any-return]


def _has_odd_number(texts: Texts, dots: Positions) -> bool:
    """Whether a value that Arrow casts is written as contract section 4 does not have it: 5., 007, 00.1."""
    if bool((dots == texts.ends - 1).any()):
        return True
    digits = _digits_from(texts)
    return bool(((texts.bytes_at(digits) == ZERO) & (dots > digits + 1)).any())


def _describe(texts: Texts, dots: Positions, values: pa.Array[Any], known: NumberEvidence) -> NumberEvidence:
    """Return the evidence of plain, well-formed numbers."""
    digits = _digits_from(texts)
    dotted = dots < texts.ends
    scales = texts.ends - dots - dotted
    lone_zero = (texts.bytes_at(digits) == ZERO) & (dots == digits + 1)  # no digit that a decimal needs
    widths = texts.ends - digits - dotted - lone_zero
    last_zero = (texts.bytes_at(texts.ends - 1) == ZERO) & dotted
    return NumberEvidence(
        inexact=_first_inexact(texts, widths),
        whole=_unless(known.whole, lambda: _first(texts, ~dotted)),
        point_or_exponent=_unless(known.point_or_exponent, lambda: _first(texts, dotted)),
        lone_zero=_unless(known.lone_zero, lambda: _first(texts, last_zero & (scales == 1))),
        trailing_zero=_unless(known.trailing_zero, lambda: _first(texts, last_zero & (scales > 1))),
        negative_zero=_unless(known.negative_zero, lambda: _first_negative_zero(texts, digits, values)),
        too_wide=_first(texts, widths > DECIMAL_PRECISION_MAX),
        scale=_uniform(texts, scales),
        integer_part=_uniform_where(texts, dots > digits, dotted),
        digits=Digits(int(widths.max())),
    )


def _first(texts: Texts, mask: Mask) -> int:
    record = texts.first(mask)
    return NEVER if record is None else record


def _uniform(texts: Texts, attribute: npt.NDArray[Any]) -> Uniform:
    """Return the evidence of an attribute that every value has."""
    value = attribute[0].item()
    return Uniform(value, texts.record(0), _first(texts, attribute != value))


def _uniform_where(texts: Texts, attribute: npt.NDArray[Any], has_it: Mask) -> Uniform:
    """Return the evidence of an attribute that only some values have."""
    if not has_it.any():
        return Uniform()
    first = int(has_it.argmax())
    value = attribute[first].item()
    return Uniform(value, texts.record(first), _first(texts, has_it & (attribute != value)))


def _first_negative_zero(texts: Texts, digits: Positions, values: pa.Array[Any]) -> int:
    negative = np.flatnonzero(digits > texts.starts)
    zero = negative[arrays.values_of(values, np.float64)[negative] == 0]
    return next((record for record, text in _some(texts, zero) if grammar.is_negative_zero(text)), NEVER)


def _first_inexact(texts: Texts, widths: Positions) -> int:
    """Return the first record whose double says another number; up to 15 digits none can."""
    long = np.flatnonzero(widths > EXACT_DIGITS)
    if len(long) == 0:
        return NEVER
    doubtful = long[_doubtful(kernels.take(texts.array, arrays.index_array(long)))]
    return next((record for record, text in _some(texts, doubtful) if not grammar.is_exact_double(text)), NEVER)


def _doubtful(array: pa.Array[Any]) -> Mask:
    """Return which numbers Arrow's shortest text of their double does not repeat as they stand."""
    trimmed = kernels.chosen(kernels.contains(array, "."), kernels.trimmed_right(array, "0"), array)
    return arrays.booleans_of(kernels.differ(kernels.cast(kernels.cast(array, pa.float64()), pa.string()), trimmed))


def _some(texts: Texts, indices: npt.NDArray[Any]) -> Any:  # noqa: ANN401 -- an iterator of (record, text)
    """Return (record, text) of the values at ``indices``, a slice at a time."""
    return texts.subset(indices).values() if len(indices) else iter(())


def _observe_each(texts: Texts) -> NumberEvidence:
    """Observe values one by one, up to the first that is no number.

    Values of the same shape show the same, so only the first of each shape is merged.
    """
    evidence = NumberEvidence()
    shapes: set[Hashable] = set()
    for record, text in texts.values():
        shape = _shape(text)
        if shape in shapes:
            continue
        shapes.add(shape)
        evidence = evidence.merged(_of_shape(shape, record))
        if shape is None:
            break
    return evidence


def _shape(text: str) -> Shape:
    """Return all that matters of one value: its spelling, and whether a double says it; None where it is no number."""
    special = grammar.special_kind(text)
    if special is not None:
        return special
    number = grammar.parse_number(text)
    if number is None:
        return None
    return number, _is_exact(number, text), grammar.is_negative_zero(text)


def _is_exact(number: grammar.Number, text: str) -> bool:
    """Say what grammar.is_exact_double says, without decimals where the number is short and far from the limits."""
    if number.digits <= EXACT_DIGITS and ORDINARY_MIN < abs(float(text)) < ORDINARY_MAX:
        return True
    return grammar.is_exact_double(text)


def _of_shape(shape: Shape, record: int) -> NumberEvidence:
    if shape is None:
        return NumberEvidence(unfit=record)
    kind, *flags = shape
    if isinstance(kind, str):
        spelling = Uniform(flags[0], record)
        return replace(NumberEvidence(special=record), **{"nan": spelling} if kind == "nan" else {"infinity": spelling})
    exact, negative_zero = flags
    return _of_number(kind, exact=bool(exact), negative_zero=bool(negative_zero), record=record)


def _of_number(number: grammar.Number, *, exact: bool, negative_zero: bool, record: int) -> NumberEvidence:
    def when(condition: bool) -> int:  # noqa: FBT001 -- local, and reads as a sentence
        return record if condition else NEVER

    scale = number.scale or 0
    plain = not number.exponent
    dotted = number.scale is not None
    return NumberEvidence(
        inexact=when(not exact),
        whole=when(plain and not dotted),
        point_or_exponent=when(dotted or number.exponent),
        exponent=when(number.exponent),
        lone_zero=when(plain and number.lone_zero),
        trailing_zero=when(plain and number.trailing_zero),
        negative_zero=when(negative_zero),
        too_wide=when(plain and number.digits > DECIMAL_PRECISION_MAX),
        scale=Uniform(scale, record) if plain else Uniform(),
        integer_part=Uniform(number.integer_part, record) if plain and dotted else Uniform(),
        digits=Digits(number.digits if plain else 0),
    )

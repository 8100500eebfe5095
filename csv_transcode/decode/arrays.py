"""Arrow arrays to and from NumPy and Python, from their buffers.

``pa.array``, ``pa.scalar`` and ``to_numpy`` say the same more shortly, but each imports pandas where it is installed: a
third of a second and 40 MB, of every cold start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def values_of(array: pa.Array[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the values of a fixed-width array as they lie in memory; those of nulls are arbitrary."""
    buffer = array.buffers()[1]
    width = np.dtype(dtype).itemsize
    if buffer is None:
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype, len(array), array.offset * width)  # type: ignore[call-overload, no-any-return]


def bits_of(buffer: pa.Buffer, offset: int, count: int) -> npt.NDArray[np.bool_]:
    """Return ``count`` bits of a bitmap from bit ``offset``, as one boolean each."""
    packed = np.frombuffer(buffer, np.uint8)  # type: ignore[call-overload]
    return np.unpackbits(packed, bitorder="little", count=offset + count)[offset:].view(np.bool_)


def booleans_of(array: pa.Array[Any]) -> npt.NDArray[np.bool_]:
    """Return the values of a boolean array."""
    buffer = array.buffers()[1]
    return np.empty(0, np.bool_) if buffer is None else bits_of(buffer, array.offset, len(array))


def validity_of(array: pa.Array[Any]) -> npt.NDArray[np.bool_]:
    """Return which values are not null."""
    bitmap = array.buffers()[0]
    return np.ones(len(array), np.bool_) if bitmap is None else bits_of(bitmap, array.offset, len(array))


def bitmap(mask: npt.NDArray[np.bool_]) -> pa.Buffer:
    """Return ``mask`` as Arrow has booleans and validity: a bit a value."""
    return pa.py_buffer(np.packbits(mask, bitorder="little"))  # type: ignore[arg-type]


def boolean_array(mask: npt.NDArray[np.bool_]) -> pa.Array[Any]:
    """Return an Arrow array of ``mask``."""
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, bitmap(mask)])


def index_array(indices: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_] | None = None) -> pa.Array[Any]:
    """Return an Arrow array of ``indices``, null where not ``valid``."""
    contiguous = np.ascontiguousarray(indices, np.int64)
    present = None if valid is None else bitmap(valid)
    return pa.Array.from_buffers(pa.int64(), len(contiguous), [present, pa.py_buffer(contiguous)])  # type: ignore[arg-type]


def string_array(texts: Sequence[str | None]) -> pa.Array[Any]:
    """Return an Arrow array of ``texts``."""
    encoded = [b"" if text is None else text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    valid = np.fromiter((text is not None for text in texts), np.bool_, len(encoded))
    present = None if valid.all() else bitmap(valid)
    return pa.Array.from_buffers(
        pa.string(),
        len(encoded),
        [present, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))],  # type: ignore[arg-type]
    )


def is_utf8(data: bytes) -> bool:
    """Say whether ``data`` is valid UTF-8."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int64))  # type: ignore[arg-type]
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True

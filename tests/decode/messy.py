"""Bytes that are almost CSV, in every dialect, with everything in them that makes readers differ."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from csv_transcode.decode.dialect import Dialect

DIALECTS: Final = (
    Dialect(),
    Dialect(delimiter=";"),
    Dialect(delimiter="|", quote_char="'"),
    Dialect(delimiter="\t", quote_char=None),
    Dialect(escape_char="\\"),
    Dialect(delimiter=";", quote_char="'", escape_char="\\"),
    Dialect(escape_char='"'),  # which is to say that quotes are doubled
)
dialects = st.sampled_from(DIALECTS)


def texts(dialect: Dialect, *, fragments_max: int = 40) -> st.SearchStrategy[bytes]:
    """Return a strategy for bytes in which about every third record is good."""
    delimiter, quote = dialect.delimiter.encode(), (dialect.quote_char or '"').encode()
    good = [b"a" + delimiter + b"b\n", quote + b"a" + delimiter + b"\n" + quote, b"c" + delimiter, b"a\n", b"\n"]
    plain = [b"a", b"bc", delimiter, b"\r\n", b"\r", "é".encode(), "漢".encode(), b"\0"]
    odd = [
        quote,
        quote * 2,
        b'"',
        b"'",
        b"\\",
        b"\\" + quote,
        b"\xe9",
        b"\xef\xbb\xbf",
        b" ",
        quote + delimiter,
        b"\n\n",
    ]
    fragment = st.one_of(st.sampled_from(good), st.sampled_from(good), st.sampled_from(plain), st.sampled_from(odd))
    return st.lists(fragment, max_size=fragments_max).map(b"".join)

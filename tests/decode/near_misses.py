"""Columns of texts that almost are of a type: what inference has to tell apart, and hypothesis to put together."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

INTEGERS: Final = (
    *("0", "1", "-1", "7", "42", "-7", "1000", "20260101"),
    *("9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "1152921504606846976"),
    *("9223372036854775807", "-9223372036854775808"),
)
ALMOST_INTEGERS: Final = (
    *("-0", "+5", "007", "00", "-01", "0x1F", "1_000", "1,234", "9223372036854775808", "-9223372036854775809"),
    *("100000000000000000000", "12345678901234567890", "99999999999999999999", "-", "--5", "1-2", "\uff15", "٣"),
)
FRACTIONS: Final = (
    *("1.0", "-1.0", "0.0", "0.5", "1.9", "2.25", "-17.125", "1234567.875", "0.1", "0.30000000000000004"),
    *("3.141592653589793", "123456789.123456789", "99999999999999.99", "0.000001", "1000000000000000000000.5"),
)
ALMOST_FRACTIONS: Final = (
    *("-0.0", "-0.00", "5.", ".", "-.", "1.10", "17.00", "01.5", "00.5", "-00.5", "1.2.3", "1..2", "1./2", "+1.5"),
    *("3.141592653589793238", "0.1000000000000000055511151231257827", "12345678901234567.25", "1.5 "),
)
BARE_POINTS: Final = (".5", "-.5", ".25", ".0", "-.0", ".50", ".123456789", ".1234567890123456789")
EXPONENTS: Final = (
    *("1e-05", "1.5E10", "1.5e+10", "-2.5e-7", "1E+2", "0e-5", "-0e+1", "5e-324", "1.7976931348623157e308", ".5e-3"),
    *("1.50e3", "4.9e-324", "2.2250738585072014e-308"),
)
ALMOST_EXPONENTS: Final = (
    *("1e5", "12E4", "0e0", "1e400", "1.0e400", "-1.5e+400", "1e-400", "1.5e-400", "1e", "1e+", "e5", ".e5", "1.e5"),
    *("1.5e+", "01e-5", "1.0e-99999999999999999999", "0.0e99999999999999999999", "1e-5.5"),
)
SPECIAL: Final = ("nan", "NaN", "NAN", "inf", "-inf", "Infinity", "-Infinity", "INF", "-INF", "infinity")
ALMOST_SPECIAL: Final = ("-nan", "+inf", "NA", "nan ", "infinit", "1.#INF", "null", "None", "N/A")
LONG_FRACTIONS: Final = (
    *("1234567890123456.75", "0.12345678901234567890", "-1234567890123456.25", "9999999999999999.99"),
    *("12345678901234567890123456789012345678.5", "1234567890123456789012345678901234567.5"),
    *("0.12345678901234567890123456789012345678", "0.123456789012345678901234567890123456789"),
    *("0.00000000000000000000000000000000000001", "1.12345678901234567890123456789012345678"),
)
DATES: Final = ("2020-02-29", "1970-01-01", "0001-01-01", "9999-12-31", "1582-10-10", "2026-11-23", "1900-02-28")
ALMOST_DATES: Final = (
    *("0000-01-01", "2021-02-29", "1900-02-29", "2020-13-01", "2020-00-10", "2020-01-32", "2020-1-1", "20200101"),
    *("2020/01/01", "2020-01-01 ", "10000-01-01", "-001-01-01", "٢٠٢٠-01-01", "01-01-2020", "2020-01", "2020-W01-1"),
)
TIMESTAMPS: Final = (
    *("2020-02-29 10:20:30", "1970-01-01 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"),
    *("2026-11-23 09:30:00.5", "2026-11-23 09:30:00.50", "2026-11-23 09:30:00.000001", "1677-09-21 00:12:43.145225"),
    *("2262-04-11 23:47:16.854775", "2262-04-11 23:47:16.854776", "1677-09-21 00:12:43.145224"),
)
FINE_TIMESTAMPS: Final = (
    *("2026-11-23 09:30:00.1234567", "2026-11-23 09:30:00.123456789", "2262-04-11 23:47:16.854775807"),
    *("2262-04-11 23:47:16.854775808", "1677-09-21 00:12:43.145224192", "1677-09-21 00:12:43.145224191"),
    *("2026-11-23 09:30:00.0000000", "1969-12-31 23:59:59.999999999"),
)
ALMOST_TIMESTAMPS: Final = (
    *("0000-01-01 00:00:00", "2021-02-29 10:20:30", "2020-01-01 24:00:00", "2020-01-01 23:60:00"),
    *("2020-01-01 23:59:60", "2020-01-01 10", "2020-01-01 1020", "2020-01-01 10:20:3", "2020-01-01 10:20:30."),
    *("2020-01-01 10:20:30,5", "2020-01-01  10:20:30", "2020-01-01t10:20:30", "2020-01-01 10:20:30.1234567890"),
    *("2020-01-01 10:20.5", "2020-01-01 102030", "2020-01-01 10:20:30 Z", "2020-01-01 10:20:30z"),
    *("2020-01-01 10:20:30+02:00", "2020-01-01 10:20:30-00:00", "2020-01-01 10:20:30+0000", "2020-01-01 10:20:30+00"),
    *("2020-01-01 10:20:30ZZ", "2020-01-01 10:20:30+00:00Z", "2020-01-01 10:20:30Z+00:00", "10:20:30"),
    *("2020-01-01 1\u0660:20:30", "2020-01-01 10:20+02", "2020-01-01 10:20Z+00", "2020-01-01 10:20:30é"),
)
BOOLEANS: Final = ("true", "false", "True", "False", "TRUE", "FALSE")
ALMOST_BOOLEANS: Final = ("tRUE", "yes", "t", "f", "truee", "fals", "1", "0", "Fal\u017fe")
STRINGS: Final = (
    "x",
    " ",
    " 1",
    "1 ",
    "12 %",
    "é",
    "\U0001f600",
    "1\n2",
    'a"b',
    "-" * 40,
    "1/2",
    "/",
    "....",
    "0" * 40,
)

FAMILIES: Final = (
    INTEGERS,
    INTEGERS + ALMOST_INTEGERS,
    FRACTIONS,
    INTEGERS + FRACTIONS,
    FRACTIONS + ALMOST_FRACTIONS + SPECIAL,
    BARE_POINTS,
    BARE_POINTS + FRACTIONS + INTEGERS,
    EXPONENTS,
    EXPONENTS + FRACTIONS + INTEGERS,
    EXPONENTS + ALMOST_EXPONENTS + FRACTIONS,
    FRACTIONS + SPECIAL,
    SPECIAL + ALMOST_SPECIAL + FRACTIONS,
    LONG_FRACTIONS,
    DATES,
    DATES + ALMOST_DATES,
    BOOLEANS[:2],
    BOOLEANS[2:4],
    BOOLEANS[4:],
    BOOLEANS + ALMOST_BOOLEANS,
)


def _respelt(text: str, separator: str, zone: str) -> str:
    return text.replace(" ", separator) + zone


def moments() -> st.SearchStrategy[list[str]]:
    """Timestamps of one spelling or almost one."""
    families = st.sampled_from(
        (TIMESTAMPS, TIMESTAMPS + FINE_TIMESTAMPS, FINE_TIMESTAMPS, TIMESTAMPS + ALMOST_TIMESTAMPS)
    )
    seconds = st.sampled_from((None, None, None, len("YYYY-MM-DD HH:MM")))
    spelling = st.tuples(families, seconds, st.sampled_from("T "), st.sampled_from(("", "Z", "+00:00")))
    return spelling.flatmap(
        lambda s: st.lists(st.sampled_from([_respelt(text[: s[1]], s[2], s[3]) for text in s[0]]), max_size=8)
    )


def scaled() -> st.SearchStrategy[list[str]]:
    """Numbers of one scale, some with more digits than a double has."""
    whole = st.one_of(st.integers(-200, 200), st.integers(-(10**18), 10**18))
    return st.integers(1, 6).flatmap(
        lambda scale: st.lists(
            st.tuples(whole, st.integers(0, 10**scale - 1)).map(lambda n: f"{n[0]}.{n[1]:0{scale}d}"), max_size=8
        )
    )


def doubles() -> st.SearchStrategy[list[str]]:
    """What Python's repr makes of doubles."""
    return st.lists(st.floats(allow_nan=False).map(repr), max_size=8)


EVERYTHING: Final = tuple(
    dict.fromkeys(
        text
        for family in (*FAMILIES, TIMESTAMPS, FINE_TIMESTAMPS, ALMOST_TIMESTAMPS, BOOLEANS, STRINGS)
        for text in family
    )
)


def _mutated(texts: list[str], at: int, char: str) -> list[str]:
    """One character of one of the texts replaced: what a vectorised byte test has to see."""
    if not texts:
        return texts
    place = at % len(texts)
    text = texts[place]
    index = at % (len(text) + 1)
    return [*texts[:place], text[:index] + char + text[index + 1 :], *texts[place + 1 :]]


def columns() -> st.SearchStrategy[list[str | None]]:
    """Columns of mostly one kind, with strangers, changed characters, empty values and nulls among them."""
    family = st.sampled_from(FAMILIES).flatmap(lambda texts: st.lists(st.sampled_from(texts), max_size=8))
    alike = st.one_of(family, family, moments(), scaled(), doubles(), st.just([]))
    mutated = st.builds(_mutated, alike, st.integers(0, 400), st.sampled_from("0159-+.:TZe /x٣ "))
    strangers = st.lists(st.sampled_from((*EVERYTHING, "", None)), max_size=2)
    empties = st.lists(st.sampled_from(("", None)), max_size=3)
    mixed = st.tuples(st.one_of(alike, alike, mutated), st.one_of(st.just([]), empties, strangers))
    return mixed.flatmap(lambda parts: st.permutations(parts[0] + parts[1]))

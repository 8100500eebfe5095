"""Contract section 4 once more, by brute force: which type a column of texts has, and how its texts are written again.

Written from the contract's sentences, with Python's own int, float, Decimal and datetime; it shares no code with the
package. Everything is decided from whole lists of texts, again for every prefix: slow, and hard to get wrong.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAN = ("nan", "NaN", "NAN")
INFINITY = ("inf", "Inf", "INF", "infinity", "Infinity", "INFINITY")
SPECIAL = {*NAN, *INFINITY, *("-" + text for text in INFINITY)}
BOOLEANS = ({"true", "false"}, {"TRUE", "FALSE"}, {"True", "False"})
TIMESTAMP = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?P<separator>[T ])(?P<minutes>[0-9]{2}:[0-9]{2})"
    r"((?P<seconds>:[0-9]{2})(\.(?P<fraction>[0-9]{1,9}))?)?(?P<zone>Z|\+00:00)?"
)
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 -- beside datetimes without a zone
NARROWEST_FIRST = ("int64", "double", "decimal", "date", "timestamp", "boolean")


@dataclass(frozen=True)
class Rules:
    """The settings DECIMALS=decimal and NANOSECONDS=True."""

    decimals: bool = False
    nanoseconds: bool = False


def int64(texts: Sequence[str]) -> bool:
    """``0|-?[1-9][0-9]*``, in range."""
    return all(re.fullmatch("0|-?[1-9][0-9]*", t) and -(2**63) <= int(t[:25]) < 2**63 for t in texts)


def double(texts: Sequence[str]) -> bool:
    """All that the contract asks of a column of doubles."""
    special, ordinary = [t for t in texts if t in SPECIAL], [t for t in texts if t not in SPECIAL]
    if not all(_said_by_a_double(t) for t in ordinary):
        return False
    if not any("." in t or "e" in t.lower() for t in ordinary):
        return False
    if len({t for t in special if t in NAN}) > 1 or len({t.removeprefix("-") for t in special if t not in NAN}) > 1:
        return False
    return _written_alike(ordinary)


def _said_by_a_double(text: str) -> bool:
    number = r"-?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
    if not re.fullmatch(number, text):
        return False
    if "e" in text.lower() and "." not in text and not re.search("[eE][+-]", text):
        return False
    try:
        return math.isfinite(float(text)) and Decimal(text) == Decimal(repr(float(text)))
    except InvalidOperation:
        return False


def _written_alike(ordinary: Sequence[str]) -> bool:
    plain = [t for t in ordinary if "e" not in t.lower()]
    if len({t.lstrip("-").startswith(".") for t in plain if "." in t}) > 1:
        return False
    fractions = [t.partition(".")[2] for t in plain]
    if len(plain) == len(ordinary) and len({len(f) for f in fractions}) == 1:
        return True
    if any(f.endswith("0") and f != "0" for f in fractions):
        return False
    return not (any("." not in t for t in plain) and "0" in fractions)


def decimal(texts: Sequence[str]) -> bool:
    """One scale throughout, without negative zero, 38 digits at most."""
    if not all(re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]+", t) for t in texts):
        return False
    if len({len(t.partition(".")[2]) for t in texts}) > 1:
        return False
    zero = any(t.startswith("-") and not t.strip("-0.") for t in texts)
    return not zero and all(_digits(t) <= 38 for t in texts)


def _digits(text: str) -> int:
    """The digits that a decimal of this text's scale needs: a lone 0 before the point is none."""
    whole, _, fraction = text.lstrip("-").partition(".")
    return len(fraction) + (0 if whole == "0" else len(whole))


def date(texts: Sequence[str]) -> bool:
    """``YYYY-MM-DD``, a real day."""
    return all(re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", t) and _real(t, "00:00:00") for t in texts)


def timestamp(texts: Sequence[str], rules: Rules) -> bool:
    """One spelling throughout, and a fraction that the unit holds."""
    found = [TIMESTAMP.fullmatch(t) for t in texts]
    if not all(m and _real(m["day"], m["minutes"] + (m["seconds"] or ":00")) for m in found):
        return False
    spellings = {(m["separator"], m["seconds"] is None, m["zone"]) for m in found if m}
    if len(spellings) > 1:
        return False
    fine = any(len(m["fraction"] or "") > 6 for m in found if m)
    return not fine or (rules.nanoseconds and all(-(2**63) <= nanoseconds(t) < 2**63 for t in texts))


def _real(day: str, time: str) -> bool:
    try:
        dt.datetime.strptime(f"{day} {time}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 -- only whether there is such a time
    except ValueError:
        return False
    return True


def nanoseconds(text: str) -> int:
    """What a timestamp's text says, in nanoseconds since 1970."""
    m = TIMESTAMP.fullmatch(text)
    assert m is not None
    moment = dt.datetime.strptime(f"{m['day']} {m['minutes']}{m['seconds'] or ':00'}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + int((m["fraction"] or "").ljust(9, "0"))


def boolean(texts: Sequence[str]) -> bool:
    """``true`` and ``false`` in one spelling."""
    return any(set(texts) <= spelling for spelling in BOOLEANS)


def fits(kind: str, texts: Sequence[str], rules: Rules) -> bool:
    """Whether a column of these texts (no empty ones, at least one) could be of the type."""
    if kind == "timestamp":
        return timestamp(texts, rules)
    checks = {"int64": int64, "double": double, "decimal": decimal, "date": date, "boolean": boolean}
    return checks[kind](texts)


def values_of(cells: Sequence[str | None]) -> list[str]:
    """The cells that hold something."""
    return [cell for cell in cells if cell]


def column_type(cells: Sequence[str | None], rules: Rules) -> str:
    """The contract's word for the type of a column of these cells."""
    texts = values_of(cells)
    if not texts:
        return "string"
    order = NARROWEST_FIRST
    if rules.decimals:
        order = ("int64", "decimal", "double", "date", "timestamp", "boolean")
    kind = next((kind for kind in order if fits(kind, texts, rules)), "string")
    if kind == "decimal":
        scale = len(texts[0].partition(".")[2])
        precision = 18 if rules.decimals and max(_digits(t) for t in texts) <= 18 else 38
        return f"decimal({precision},{scale})"
    if kind == "timestamp" and texts[0].endswith(("Z", "+00:00")):
        return "timestamp_utc"
    return kind


def ruled_out(cells: Sequence[str | None], rules: Rules) -> dict[str, Any] | None:
    """Of the narrower types that do not fit, the one with the longest prefix that did, and the record behind that."""
    texts = values_of(cells)
    if not texts:
        return None
    kind = column_type(cells, rules).partition("(")[0].removesuffix("_utc")
    narrower = NARROWEST_FIRST[: NARROWEST_FIRST.index(kind)] if kind != "string" else NARROWEST_FIRST
    ends = {other: _end(other, cells, rules) for other in narrower if not fits(other, texts, rules)}
    if not ends:
        return None
    longest = max(ends.values())
    return {"type": next(other for other in narrower if ends.get(other) == longest), "record": longest}


def _end(kind: str, cells: Sequence[str | None], rules: Rules) -> int:
    """The record, from 1, behind the longest prefix that is of the type; the first value's where there is none."""
    fitting = [
        length
        for length in range(1, len(cells) + 1)
        if (texts := values_of(cells[:length])) and fits(kind, texts, rules)
    ]
    first = next(record for record, cell in enumerate(cells, start=1) if cell)
    return max(fitting) + 1 if fitting else first


# ---------------------------------------------------------------- and back: value, type and spelling → text
def written(value: Any, kind: str, spelling: Mapping[str, Any]) -> str:
    """The text of ``value``: all digits for numbers, no trailing zeros in a timestamp's fraction."""
    if kind == "double":
        return _written_double(value, spelling)
    if kind.startswith("decimal"):
        return f"{value:f}"
    if kind == "boolean":
        text = str(value)
        return {"lower": text.lower(), "upper": text.upper(), "capitalised": text}[spelling["case"]]
    return str(value.isoformat()) if kind == "date" else str(value)


def _written_double(value: float, spelling: Mapping[str, Any]) -> str:
    if math.isnan(value):
        return str(spelling["nan"])
    if math.isinf(value):
        return ("-" if value < 0 else "") + str(spelling["infinity"])
    digits = format(Decimal(repr(value)), "f")
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    if "scale" in spelling:
        fraction = fraction.ljust(spelling["scale"], "0")
    elif not fraction and spelling.get("whole") == "17.0":
        fraction = "0"
    if fraction and spelling.get("integer_part") is False:
        whole = whole.replace("0", "")
    return f"{whole}.{fraction}" if fraction else whole


def written_timestamp(since_epoch: int, unit: str, spelling: Mapping[str, Any]) -> str:
    """The text of a timestamp of ``since_epoch`` ``us`` or ``ns``, its fraction in full."""
    digits = {"us": 6, "ns": 9}[unit]
    seconds, fraction = divmod(since_epoch, 10**digits)
    moment = EPOCH + dt.timedelta(seconds=seconds)
    text = f"{moment.date().isoformat()}{spelling['separator']}{moment:%H:%M}"
    if spelling["seconds"]:
        text += f"{moment:%S}".join((":", f".{fraction:0{digits}d}"))
    return text + str(spelling.get("zone", ""))

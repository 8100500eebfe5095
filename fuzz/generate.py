"""Random cases: every dialect, encoding, compression and line end, with faults at known places."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.decode.records import STRIPE_BYTES, Cuts
from csv_transcode.schema import ColumnType
from fuzz.cases import BLANK, LINE_ENDS, PREAMBLE, Case, Cell, Piece, Spelling, Stored, Unit
from fuzz.faults import ENCODING, FAULTS, Writer, beyond, unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

DELIMITERS: Final = (*(",;\t|" * 3), ":", "^", "~", " ", "#", "\x01", "\x1f", "!", "a")
QUOTES: Final = ('"', '"', '"', '"', "'", "'", "`", "")
ESCAPES: Final = ("", "", "", "\\", "\\", "$")
ALL_LINE_ENDS: Final = (("\n",), ("\n",), ("\r\n",), ("\r",), LINE_ENDS, ("\n", "\r\n"))
COMPRESSIONS: Final = (
    *(None,) * 4,
    *("gzip", "bzip2", "xz", "zstd", "several gzip", "several bzip2", "several xz", "several zstd"),
)
LEGACY: Final = {  # with characters that each can say
    "cp1252": "äöüßéñ€“”ÿÀ",
    "iso8859-15": "äöüŠš€œ",
    "cp1251": "приветЁё№",
    "koi8-r": "приветЁё",
    "cp1253": "αβγΩάή",
    "cp437": "äöü░Γπ",
    "mac-roman": "äöü†∞πé",
    "cp932": "日本語ソ表能カナ",
    "shift_jis": "日本語ソ表能カナ",
    "euc_jp": "日本語カナ",
    "gb18030": "中文€𝄞汉字",
    "cp949": "한국어",
    "cp950": "許功蓋中文",
    "iso2022_jp": "日本語カナ",
}
WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
UNICODE: Final = "äñß€漢字𝄞🙂\u2028\u0085\xa0\u200b\ufeff\u0301Ω"
LANGUAGE: Final = "äñß€漢字Ωéж"  # all of which is text to one who has to tell whether it is
ODD: Final = "\0\x0b\x0c\x1c\\'\"`#"
WORDS: Final = (*("alpha", "x", "NA", "null", "007", "1,5", "1;2", "a|b", "t\tb", "it's", '5" disk', "a b", "-", "e5"),)
KINDS: Final = ("text", "text", "text", "int64", "double", "date", "boolean", "timestamp", "timestamp_utc")
NULLS: Final = (*((("",),) * 8), ("", "NULL"), ("NULL",))
FAULT_SHARES: Final = (0, 0.02, 0.1, 0.25)
FAULT_SHARE_DETECTED: Final = 0.03
SMALL: Final = (*((1, 8),) * 3, *((20, 60),) * 3)
SIZES: Final = (*SMALL, (200, 400), (1000, 2000))  # records, of eight fields or fewer


def _int64(rng: Random) -> str:
    return str(rng.choice((0, -1, rng.randint(-999, 999), rng.randint(-(1 << 63), (1 << 63) - 1))))


def _double(rng: Random) -> str:
    return f"{rng.choice(('', '-'))}{rng.randint(1, 10 ** rng.randint(1, 9))}.{rng.randint(0, 99):02d}"


def _date(rng: Random) -> str:
    return f"{rng.randint(1, 9999):04d}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def _time(rng: Random) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"


VALUES: Final[dict[str, Callable[[Random], str]]] = {
    "int64": _int64,
    "double": _double,
    "date": _date,
    "boolean": lambda rng: rng.choice(("true", "false")),
    "timestamp": lambda rng: f"{_date(rng)} {_time(rng)}",
    "timestamp_utc": lambda rng: f"{_date(rng)}T{_time(rng)}Z",
}


def case(random: Random, *, small: bool = False) -> Case:
    """Return the next case; all chance is in ``random``. A ``small`` one has no more than some dozens of records."""
    while True:
        made = _Draft.of(random).case(SMALL if small else SIZES).mended()
        if made.is_certain() and _is_sayable(made):
            return made


def _is_sayable(made: Case) -> bool:
    """Whether the encoding can say every character, and says it back."""
    if made.stored.encoding == "utf-8":
        return True
    text, encoding = made.text, made.stored.encoding
    try:
        return text.decode().encode(encoding).decode(encoding).encode() == text
    except UnicodeError:
        return False


@dataclass
class _Draft:
    """What is decided about a case before its records are written; ``letters`` are those its encoding has."""

    random: Random
    spelling: Spelling
    stored: Stored
    letters: str
    kinds: tuple[str, ...]
    null_values: tuple[str, ...] = ("",)
    settings: dict[str, Any] = field(default_factory=dict)
    typed: int | None = None

    @classmethod
    def of(cls, random: Random) -> _Draft:
        """Return a new one."""
        spelling = _spelling(random)
        stored, letters = _stored(random, spelling)
        if spelling.detected:
            kinds = ("text", *random.choices(KINDS, k=random.choice((1, 2, 4, 7))))
            return cls(random, spelling, stored, letters, kinds)
        kinds = tuple(random.choices(KINDS, k=random.choice((1, 1, 2, 2, 3, 4, 7, 30))))
        draft = cls(random, spelling, stored, letters, kinds, random.choice(NULLS))
        if random.random() < 0.15:
            draft.settings["decimal_separator"] = ","
        return draft

    def case(self, sizes: Sequence[tuple[int, int]]) -> Case:
        """Return a case, which may be none yet that is certain, of as many records as one of ``sizes`` allows."""
        writer = Writer(self.random, self.spelling, self.cell, self.kinds)
        header, names = self._header(writer)
        units = self._units(writer, sizes)
        if self._has_limit():
            units = self._limited(writer, header, units)
        return Case(
            self.spelling,
            self._stored_for(units),
            names,
            self.kinds,
            header,
            tuple(units),
            ended=self.random.random() < 0.8,
            null_values=self.null_values,
            settings=self.settings,
            cuts=_cuts(self.random),
            chunk_bytes=self.random.choice((1 << 20, 1 << 20, 4096, 97, 7)),
        )

    def cell(self, column: int) -> Cell:
        """Return a cell of the column's kind."""
        random, kind = self.random, self.kinds[column]
        quoted = bool(self.spelling.quote) and random.random() < 0.25
        if random.random() < 0.08:
            text = random.choice(("", *self.null_values))
            return Cell(text, quoted and (kind == "text" or not text))
        if kind == "text":
            return Cell(self._text(), quoted)
        text = VALUES[kind](random)
        if kind == "double":
            text = text.replace(".", self.settings.get("decimal_separator", "."))
        if not self.spelling.quote and self.spelling.delimiter in text:
            return Cell("", quoted=False)
        return Cell(text, quoted)

    def _text(self) -> str:
        random, spelling, shape = self.random, self.spelling, self.random.random()
        if spelling.detected:
            return " ".join(random.choices(("alpha", "beta", "gamma", "Delta", *self.letters), k=random.randint(1, 3)))
        if shape < 0.5:
            return random.choice(WORDS)
        if shape < 0.55:
            return "".join(random.choices("xyz ", k=random.choice((40, 200, 900))))
        signs = spelling.quote * 3 + spelling.delimiter * 2 + spelling.escape * 2 + "ab" + self.letters + ODD
        return "".join(random.choices(signs + ("\n\r" if spelling.quote else ""), k=random.randint(1, 9)))

    def _header(self, writer: Writer) -> tuple[tuple[Unit, ...], tuple[str, ...]]:
        """Return the units up to the first record, and the columns' names."""
        random, spelling = self.random, self.spelling
        if not spelling.detected and random.random() < 0.15:
            self.settings["header"] = "false"
            return (), tuple(f"column_{number}" for number in range(1, len(self.kinds) + 1))
        letters = re.sub(r"\W", "", self.letters)[:2]
        cells = [writer.writable(Cell(f"c{number} {letters}", quoted=False)) for number in range(len(self.kinds))]
        header = Unit("header", (Piece(writer.joined([writer.field(cell) for cell in cells])),))
        names = tuple(cell.text for cell in cells)
        self._give_a_type(names)
        end = writer.end()  # the same everywhere here: the LF of a blank line would make one end of a CR before it
        blanks = [Unit(BLANK, (Piece(end),))] * random.choice((0, 0, 0, 0, 1, 2))
        title = spelling.detected and len(self.kinds) > 2 and random.random() < 0.2
        lines = [Unit(PREAMBLE, (Piece(b"Report of the day" + end, reason=PREAMBLE),))] if title else []
        return (*lines, *blanks, header), names

    def _give_a_type(self, names: tuple[str, ...]) -> None:
        """Name the type of a column in the settings, now and then."""
        typed = [index for index, kind in enumerate(self.kinds) if kind != "text"]
        if typed and not self.spelling.detected and self.random.random() < 0.4:
            self.typed = self.random.choice(typed)
            kind = self.kinds[self.typed]
            given = ColumnType.parse("decimal(12,2)" if kind == "double" else kind)
            self.settings["column_types"] = {names[self.typed]: given}

    def _units(self, writer: Writer, sizes: Sequence[tuple[int, int]]) -> list[Unit]:
        random = self.random
        low, high = (30, 80) if self.spelling.detected else random.choice(sizes)
        count = max(1, random.randint(low, high) * 8 // max(8, len(self.kinds)))
        share = FAULT_SHARE_DETECTED if self.spelling.detected else random.choice(FAULT_SHARES)
        others = [self._fault(writer) for _ in range(int(share * count))]
        if random.random() < 0.3 and not self.spelling.detected:
            others += [writer.blank() for _ in range(random.randint(1, 3))]
        units = [writer.good() for _ in range(count)]
        return [units[0], *_shuffled(random, [*units[1:], *others])]

    def _fault(self, writer: Writer) -> Unit:
        kinds = [name for name, each in FAULTS.items() if each.applies(self.spelling, self.stored, len(self.kinds))]
        kind = self.random.choice([*kinds, *([] if self.typed is None else ["unfit type"] * 3)])
        if kind == "unfit type" and self.typed is not None:
            return unfit(writer, self.typed)
        return Unit(kind, tuple(FAULTS[kind].write(writer)))

    def _has_limit(self) -> bool:
        return not self.spelling.detected and len(self.kinds) > 1 and self.typed is None and self.random.random() < 0.4

    def _limited(self, writer: Writer, header: tuple[Unit, ...], units: list[Unit]) -> list[Unit]:
        """Set MAX_RECORD_BYTES to about what the longest record needs, and add records of that length and beyond."""
        random = self.random
        longest = max(len(piece.data) for unit in (*header, *units) for piece in unit.pieces)
        limit = max(200, 20 * len(self.kinds), longest) + random.choice((0, 0, 1, 30))
        self.settings["max_record_bytes"] = limit
        self.kinds = ("text",) * len(self.kinds)  # the long ones hold words
        longer = [beyond(writer, limit) for _ in range(random.randint(1, 1 + len(units) // 10))]
        return [units[0], *_shuffled(random, [*units[1:], *longer])]

    def _stored_for(self, units: list[Unit]) -> Stored:
        """Return how the text is stored; with the encoding named where the bytes speak against it."""
        data = b"".join(piece.data for unit in units for piece in unit.pieces)
        invalid = sum(piece.reason == ENCODING for unit in units for piece in unit.pieces)
        valid = len(data.decode(errors="ignore")) - sum(byte < 0x80 for byte in data)
        if self.stored.encoding != "utf-8" or not invalid or valid > 5 * invalid:
            return self.stored
        return replace(self.stored, given="utf-8")


def _shuffled(random: Random, units: list[Unit]) -> list[Unit]:
    random.shuffle(units)
    return units


def _spelling(random: Random) -> Spelling:
    line_ends = random.choice(ALL_LINE_ENDS)
    if random.random() < 0.2:
        return Spelling(random.choice(",;\t|"), line_ends=line_ends, detected=True)
    quote = random.choice(QUOTES)
    return Spelling(random.choice(DELIMITERS), quote, random.choice(ESCAPES) if quote else "", line_ends)


def _stored(random: Random, spelling: Spelling) -> tuple[Stored, str]:
    """Return how the text is stored, and letters that the encoding has."""
    compression, shape = random.choice(COMPRESSIONS), random.random()
    letters = LANGUAGE if spelling.detected else UNICODE
    if shape < 0.5:
        return Stored("utf-8", random.choice((None, "utf-8")), random.random() < 0.3, compression), letters
    if shape < 0.75:
        name, mark = random.choice(WIDE), random.random() < 0.5
        given = random.choice((None, name, name[:6])) if mark else name
        return Stored(name, None if spelling.detected else given, mark, compression), letters
    name = random.choice(list(LEGACY))
    return Stored(name, name, mark=False, compression=compression), LEGACY[name]


def _cuts(random: Random) -> Cuts:
    stripe = random.choice((STRIPE_BYTES, STRIPE_BYTES, 64, 1000, 20_000))
    return Cuts(stripe, min(stripe, random.choice((STRIPE_BYTES, 16, 333, 5000))))

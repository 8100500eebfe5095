"""Generated CSV whose every record is known beforehand: what it holds, or for what reason it is rejected.

A case is a row of *units*, each one record (or what a fault makes of one: sometimes several lines). What becomes of a
unit does not depend on the others, but for what ``Case.is_certain`` says; so units can be left out, one by one, until
nothing but a difference is left.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from csv_transcode.conversion import plan_of
from csv_transcode.decode.records import Cuts
from csv_transcode.settings import Settings
from fuzz import storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from csv_transcode.pipeline import Plan

GOOD: Final = "good"
BLANK: Final = "blank"
PREAMBLE: Final = "preamble"
LINE_ENDS: Final = ("\n", "\r\n", "\r")


@dataclass(frozen=True)
class Cell:
    """What a field says, and whether it is quoted."""

    text: str
    quoted: bool


@dataclass(frozen=True)
class Piece:
    """One record, or one line that is none: its bytes in UTF-8, line end included, and what has to become of it.

    ``row`` is what a good record holds, ``reason`` why another is rejected; a blank line has neither. ``opens`` says
    that it leaves a quote open.
    """

    data: bytes
    row: tuple[Cell, ...] | None = None
    reason: str | None = None
    opens: bool = False


@dataclass(frozen=True)
class Unit:
    """What is generated as one: ``kind`` is GOOD, BLANK, PREAMBLE or the fault's name."""

    kind: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Spelling:
    """The dialect a case is written in; ``escape`` "" means that quotes are doubled, ``quote`` "" that there are none.

    ``detected``: the settings do not name it.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    line_ends: tuple[str, ...] = ("\n",)
    detected: bool = False

    @property
    def name(self) -> str:
        """What it is called in a count."""
        quoting = f"{self.quote} {'escaped by ' + self.escape if self.escape else 'doubled'}" if self.quote else "none"
        return f"{self.delimiter!r} quote {quoting}{' (detected)' if self.detected else ''}"

    @property
    def line_ends_name(self) -> str:
        """What its line ends are called in a count."""
        names = {"\n": "LF", "\r\n": "CR LF", "\r": "CR"}
        return names[self.line_ends[0]] if len(self.line_ends) == 1 else "mixed"


@dataclass(frozen=True)
class Stored:
    """How the text lies in the source: encoding (as the settings name it, or None), mark, compression."""

    encoding: str = "utf-8"
    given: str | None = None
    mark: bool = False
    compression: str | None = None

    @property
    def name(self) -> str:
        """What the encoding is called in a count."""
        return f"{self.encoding}{' with mark' if self.mark else ''}{'' if self.given else ' (detected)'}"

    def written(self, text: bytes) -> bytes:
        """Return the source that says ``text``, which is UTF-8."""
        return storage.compressed(storage.encoded(text, self.encoding, mark=self.mark), self.compression)


@dataclass(frozen=True)
class Case:
    """A source and how it is converted: ``header`` are the units up to the first record, ``names`` the columns'.

    ``kinds`` are the columns' types as far as they are known beforehand, ``null_values`` the texts that are null.
    ``ended`` says that the last line has an end. ``settings`` are those beside the dialect's and the encoding's.
    """

    spelling: Spelling
    stored: Stored
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    header: tuple[Unit, ...]
    units: tuple[Unit, ...]
    ended: bool = True
    null_values: tuple[str, ...] = ("",)
    settings: Mapping[str, Any] = field(default_factory=dict)
    cuts: Cuts = field(default_factory=Cuts)
    chunk_bytes: int = 1 << 20

    @property
    def pieces(self) -> list[Piece]:
        """All pieces, in order."""
        return [piece for unit in (*self.header, *self.units) for piece in unit.pieces]

    @property
    def text(self) -> bytes:
        """The whole text in UTF-8, without a mark."""
        text = b"".join(piece.data for piece in self.pieces)
        return text if self.ended else text.removesuffix(b"\n").removesuffix(b"\r")

    @property
    def source(self) -> bytes:
        """The bytes that are converted."""
        return self.stored.written(self.text)

    @property
    def cells(self) -> int:
        """How many cells its good records hold."""
        return sum(len(piece.row) for unit in self.units for piece in unit.pieces if piece.row is not None)

    def without(self, units: Sequence[int]) -> Case:
        """Return the case without some of its units."""
        left = set(units)
        return replace(self, units=tuple(unit for index, unit in enumerate(self.units) if index not in left))

    def plan(self) -> Plan:
        """Return how the product converts it, by its own settings; the cuts are the case's."""
        plan = plan_of(Settings.of("source-bucket", "target-bucket", **self.all_settings()))
        cuts = structs.replace(self.cuts, record_bytes_max=plan.reading.cuts.record_bytes_max)
        return structs.replace(plan, reading=structs.replace(plan.reading, cuts=cuts))

    def all_settings(self) -> dict[str, Any]:
        """Return the settings that it is converted under."""
        known: dict[str, Any] = {"encoding": self.stored.given, "null_values": self.null_values}
        if not self.spelling.detected:
            known |= {"delimiter": self.spelling.delimiter, "quote_char": self.spelling.quote}
            known["escape_char"] = self.spelling.escape
        return {"max_rejected_ratio": 1.0} | known | dict(self.settings)

    def is_certain(self) -> bool:
        """Whether each piece is what it says, among those around it.

        The dialect has to be that of most records, and the first line without a header has to be one.
        """
        if self.text.startswith("\ufeff".encode()) or self._uncertain():
            return False
        good = sum(unit.kind == GOOD for unit in self.units)
        begins = bool(self.header) or (bool(self.units) and self.units[0].kind == GOOD)
        return begins and good > sum(len(unit.pieces) for unit in self.units if unit.kind not in {GOOD, BLANK})

    def mended(self) -> Case:
        """Return the case without the units that others make uncertain."""
        case = self
        while uncertain := case._uncertain():
            case = case.without(uncertain)
        return case

    def _uncertain(self) -> list[int]:
        """Return the units that leave a quote open which the next quote would close, or whose LF stands behind a CR."""
        begun = b"".join(piece.data for unit in self.header for piece in unit.pieces)
        text, found, before, at = self.text, [], begun, len(begun)
        for index, unit in enumerate(self.units):
            for piece in unit.pieces:
                at += len(piece.data)
                if (before.endswith(b"\r") and piece.data.startswith(b"\n")) or (
                    piece.opens and self._is_closed(text, at)
                ):
                    found.append(index)
                before = piece.data
        return found

    def _is_closed(self, text: bytes, start: int) -> bool:
        quote = text.find(self.spelling.quote.encode(), start)
        if quote == -1:
            return False
        escape = self.spelling.escape.encode()
        closing = (b"", b"\r", b"\n", self.spelling.delimiter.encode(), self.spelling.quote.encode())
        return text[quote + 1 : quote + 2] in closing or bool(escape and text[quote - 1 : quote] == escape)


def to_report(case: Case) -> dict[str, Any]:
    """Return what a person needs to convert the case by hand."""
    return {
        "source_base64": base64.b64encode(case.source).decode(),
        "text": case.text.decode(errors="backslashreplace"),
        "stored": case.stored.name,
        "dialect": case.spelling.name,
        "settings": {name: str(value) for name, value in case.all_settings().items()},
        "cuts": str(case.cuts),
        "chunk_bytes": case.chunk_bytes,
        "units": [unit.kind for unit in case.units],
    }


def count_lines(pieces: Iterable[Piece]) -> list[int]:
    """Return the line on which each piece begins, from 1."""
    lines, line = [], 1
    for piece in pieces:
        lines.append(line)
        line += len(piece.data.splitlines())
    return lines

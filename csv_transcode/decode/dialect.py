"""How a file is written: delimiter, quote, header; and the names its columns get."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Sequence


class Dialect(Struct, frozen=True):
    """What was found or given; its fields are those of the manifest's ``dialect``."""

    compression: str | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    quote_char: str | None = '"'
    escape_char: str | None = None
    header: bool = True
    null_values: tuple[str, ...] = ("",)
    decimal_separator: str = "."

    def without_escapes(self) -> Dialect:
        """Return the dialect in which quotes are doubled, and nothing is escaped."""
        return replace(self, escape_char=None)


def column_names(header: Sequence[str]) -> list[str]:
    """Return one name a column: the header's own; ``column_<n>`` (from 1) where empty; ``_2``, ``_3`` where repeated.

    The result is unique ignoring case, and no made-up name takes a name that the header gives to another column.
    """
    given = Counter(name.lower() for name in header)
    taken: set[str] = set()
    names = []
    for position, original in enumerate(header, start=1):
        base = original or f"column_{position}"
        name, suffix = base, 1
        while name.lower() in taken or (name != original and name.lower() in given):
            suffix += 1
            name = f"{base}_{suffix}"
        taken.add(name.lower())
        names.append(name)
    return names

"""Rejected records as a CSV for repair: its header, and the settings by which it becomes what its source became."""

from __future__ import annotations

import csv
import io
import json
import shlex
from contextlib import ExitStack
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import asdict

from csv_transcode.decode.dialect import Dialect
from csv_transcode.errors import SettingsError
from csv_transcode.local import LocalTarget, folder_made
from csv_transcode.setting_kinds import NO_CHARACTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from csv_transcode.cli.listed_rejects import ListedReject
    from csv_transcode.manifest import Manifest
    from csv_transcode.settings import Settings

DEFAULTS: Final = Dialect()


class Layout(Struct, frozen=True):
    """What a source's records are: columns, dialect, and what is known of its types, in COLUMN_TYPES' words."""

    names: tuple[str, ...]
    dialect: Dialect
    types: Mapping[str, str] = field(default_factory=dict)
    has_nanoseconds: bool = False  # columns that COLUMN_TYPES has no word for

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> Layout:
        """Return the layout of a committed conversion."""
        assert manifest.dialect is not None  # noqa: S101 -- a committed one has it
        names = tuple(entry.name for entry in manifest.schema)
        fine = {entry.name for entry in manifest.schema if "nanos" in json.dumps(entry.avro_type)}
        types = {entry.name: entry.type for entry in manifest.schema if entry.name not in fine}
        return cls(names, Dialect(**asdict(manifest.dialect)), types, bool(fine))

    @classmethod
    def of_head(cls, names: tuple[str, ...], dialect: Dialect, settings: Settings) -> Layout:
        """Return the layout of a source that was never converted: only types that are given are known."""
        types = {name: str(kind) for name, kind in settings.column_types.items()}
        return cls(names, dialect, types, settings.nanoseconds)

    def header(self) -> bytes:
        """Return the header as the dialect writes it; nothing where the source has none."""
        if not self.dialect.header:
            return b""
        line, quote = io.StringIO(), self.dialect.quote_char
        quoting: Any = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        csv.writer(
            line, delimiter=self.dialect.delimiter, quotechar=quote or '"', quoting=quoting, lineterminator="\n"
        ).writerow(self.names)
        return line.getvalue().encode()

    def settings(self) -> dict[str, str]:
        """Return the settings that read the export as the source was read, whatever its few records look like."""
        dialect = self.dialect
        given = {
            "ENCODING": "utf-8",
            "DELIMITER": "tab" if dialect.delimiter == "\t" else dialect.delimiter,
            "QUOTE_CHAR": dialect.quote_char or NO_CHARACTER,
            "ESCAPE_CHAR": dialect.escape_char or NO_CHARACTER,
        }
        if not dialect.header:
            given["HEADER"] = "false"
        if tuple(dialect.null_values) != DEFAULTS.null_values:
            given["NULL_VALUES"] = json.dumps(list(dialect.null_values))
        if dialect.decimal_separator != DEFAULTS.decimal_separator:
            given["DECIMAL_SEPARATOR"] = dialect.decimal_separator
        if self.types:
            given["COLUMN_TYPES"] = json.dumps(dict(self.types))
        return given | ({"NANOSECONDS": "true"} if self.has_nanoseconds else {})

    def advice(self) -> str:
        """Return these settings as a shell takes them."""
        return " ".join(f"--set {_in_shell(f'{name}={value}')}" for name, value in self.settings().items())


def _in_shell(text: str) -> str:
    """Return ``text`` as a word for a shell, its control characters as escapes that bash and zsh read."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in escaped) + "'"


def path_below(folder: Path, relative: str) -> Path:
    """Return where a key's file goes below a folder; SettingsError where that would lie elsewhere."""
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative or not path.parts:
        message = f"the key {relative!r} cannot be a file's path: export it alone, to a FILE of your choice"
        raise SettingsError(message)
    return folder / path


def require_free(path: Path) -> None:
    """Refuse a file that stands: it may hold corrections."""
    if path.exists() and not path.is_dir():
        message = f"{path} stands: remove it, or name another"
        raise SettingsError(message)


def write(layout: Layout, rejects: Iterable[ListedReject], path: Path) -> int:
    """Write the records, if there are any, to a file that appears whole or not at all; return how many they are."""
    records = (reject.raw for reject in rejects if reject.is_record)
    first = next(records, None)
    if first is None:
        return 0
    count = 0
    with ExitStack() as stack:
        stack.enter_context(folder_made(path.parent))
        target = LocalTarget(path)
        stack.callback(target.abort)
        target.open()
        target.write(layout.header())
        for raw in chain([first], records):
            target.write(raw if raw.endswith((b"\n", b"\r")) else raw + b"\n")
            count += 1
        target.finish()
        target.publish()
    return count

"""The commit record as text, and the fingerprint of everything that decides an output's bytes (contract section 6).

The protocol that publishes manifests is elsewhere; here is only what one says and how it is read back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from csv_transcode.charsets import canonical_name
from csv_transcode.errors import ConservationError, ManifestError
from csv_transcode.setting_kinds import Character
from csv_transcode.settings import RECORD_BYTES_MAX, deciding_values

if TYPE_CHECKING:
    from csv_transcode.settings import Settings

MANIFEST_VERSION: Final = 1
# Raise it whenever the same source and settings give other bytes than the version before: everything is then converted
# again when it is next asked for.
FORMAT_VERSION: Final = 1
PENDING: Final = "pending"
COMMITTED: Final = "committed"


def fingerprint(settings: Settings) -> str:
    """Return the SHA-256, in hexadecimal, of all settings that decide bytes of the outputs or which outputs there are.

    Settings that mean the same give the same fingerprint, whatever the order of their parts.
    """
    described = {variable: _canonical(value) for variable, value in deciding_values(settings).items()}
    text = json.dumps({"format_version": FORMAT_VERSION} | described, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class SourceRef(Struct, frozen=True):
    """The version of the source that was converted; ``version_id`` is None in a bucket without versions."""

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int


class Dialect(Struct, frozen=True):
    """How the source's bytes were read."""

    compression: str | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    quote_char: str | None = '"'
    escape_char: str | None = None
    header: bool = True
    null_values: tuple[str, ...] = ("",)
    decimal_separator: str = "."


class SchemaEntry(Struct, frozen=True):
    """One column as the outputs have it; ``avro_type`` is the field's type in Avro's own JSON."""

    name: str
    avro_name: str
    type: str
    avro_type: Any
    spelling: Mapping[str, Any] | None = None
    ruled_out: Mapping[str, Any] | None = None


class RecordCounts(Struct, frozen=True):
    """Records, the header apart; ``read`` is the sum of the other two, or nothing is published."""

    read: int
    written: int
    rejected: int


class OutputRef(Struct, frozen=True):
    """One output object as it stands."""

    format: str
    bucket: str
    key: str
    etag: str
    version_id: str | None
    bytes: int
    rows: int


class RejectsRef(Struct, frozen=True):
    """The object that lists the rejected records."""

    bucket: str
    key: str
    etag: str
    records: int
    bytes: int


class Manifest(Struct, frozen=True):
    """One manifest. A pending one claims the keys for an attempt, and has only source, fingerprint and attempt id."""

    state: str
    source: SourceRef
    settings_fingerprint: str
    dialect: Dialect | None = None
    schema: tuple[SchemaEntry, ...] = ()
    records: RecordCounts | None = None
    outputs: tuple[OutputRef, ...] = ()
    rejects: RejectsRef | None = None
    attempt_id: str | None = None

    @classmethod
    def pending(cls, source: SourceRef, settings_fingerprint: str, attempt_id: str) -> Manifest:
        """Return the claim of one attempt, which its id tells from every other attempt's claim."""
        return cls(PENDING, source, settings_fingerprint, attempt_id=attempt_id)

    @property
    def is_committed(self) -> bool:
        """Whether this manifest is a conversion, and not the claim of one."""
        return self.state == COMMITTED

    def check_counts(self) -> None:
        """Raise ``ConservationError`` unless every record read was written to each output or rejected."""
        counts = self.records
        if counts is None or counts.read != counts.written + counts.rejected:
            message = f"records do not add up: {counts}"
            raise ConservationError(message)
        short = [output for output in self.outputs if output.rows != counts.written]
        rejected = self.rejects.records if self.rejects else 0
        if short or rejected < counts.rejected:  # rejects may also list lines before the header
            message = f"written {counts.written}, rejected {counts.rejected}, but outputs {short}, rejects {rejected}"
            raise ConservationError(message)

    def to_json(self) -> bytes:
        """Return the manifest's bytes: UTF-8, keys in the contract's order, a line end at the end."""
        entries = [_without_none(_plain(entry), "spelling", "ruled_out") for entry in self.schema]
        described = _without_none({"manifest_version": MANIFEST_VERSION} | _plain(self), "attempt_id")
        compact = msgspec.json.encode(described | {"schema": entries})  # json.dumps indents in Python: 20 times as long
        return msgspec.json.format(compact, indent=1) + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Return the manifest in ``content``, unknown fields ignored; ``ManifestError`` where it is damaged."""
        try:
            described = json.loads(content)
        except (ValueError, RecursionError) as error:
            message = f"the manifest is damaged: no JSON in its {len(content)} bytes ({type(error).__name__})"
            raise ManifestError(message) from None
        if b"\\ud" in content.lower() and not _is_text(described):
            message = "the manifest is damaged: it holds half a character"
            raise ManifestError(message)
        manifest = _manifest(_object(described, "manifest"))
        if manifest.is_committed and (manifest.dialect is None or manifest.records is None):
            message = "the manifest is damaged: committed, but without dialect or records"
            raise ManifestError(message)
        return manifest


_Part = TypeVar("_Part", SourceRef, Dialect, SchemaEntry, RecordCounts, OutputRef, RejectsRef)

_CHARACTER: Final = Character()
_DECIMAL_SEPARATORS: Final = (".", ",")
# What a spelling's words may be.
_SPELLINGS: Final[Mapping[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "scale": lambda value: type(value) is int and 0 <= value <= RECORD_BYTES_MAX,
        "whole": lambda value: value in ("17", "17.0"),
        "integer_part": lambda value: value is False,
        "nan": lambda value: isinstance(value, str),
        "infinity": lambda value: isinstance(value, str),
        "case": lambda value: value in ("lower", "upper", "capitalised"),
        "separator": lambda value: value in ("T", " "),
        "seconds": lambda value: isinstance(value, bool),
        "zone": lambda value: isinstance(value, str),
    }
)

# The types each field may have, in the order of the constructor's arguments.
_SHAPES: Final[Mapping[type, Mapping[str, tuple[type, ...]]]] = MappingProxyType(
    {
        SourceRef: {"bucket": (str,), "key": (str,), "version_id": (str, NoneType), "etag": (str,), "size": (int,)},
        Dialect: {
            "compression": (str, NoneType),
            "encoding": (str,),
            "delimiter": (str,),
            "quote_char": (str, NoneType),
            "escape_char": (str, NoneType),
            "header": (bool,),
            "null_values": (list,),
            "decimal_separator": (str,),
        },
        SchemaEntry: {
            "name": (str,),
            "avro_name": (str,),
            "type": (str,),
            "avro_type": (str, list, dict),
            "spelling": (dict, NoneType),
            "ruled_out": (dict, NoneType),
        },
        RecordCounts: {"read": (int,), "written": (int,), "rejected": (int,)},
        OutputRef: {
            "format": (str,),
            "bucket": (str,),
            "key": (str,),
            "etag": (str,),
            "version_id": (str, NoneType),
            "bytes": (int,),
            "rows": (int,),
        },
        RejectsRef: {"bucket": (str,), "key": (str,), "etag": (str,), "records": (int,), "bytes": (int,)},
    }
)


def _manifest(described: dict[str, Any]) -> Manifest:
    version = _field(described, "manifest_version", (int,), "manifest")
    state = _field(described, "state", (str,), "manifest")
    if version != MANIFEST_VERSION or state not in (PENDING, COMMITTED):
        message = (
            f"the manifest is of version {version} and in state {state!r}, expected {MANIFEST_VERSION} and a known one"
        )
        raise ManifestError(message)
    dialect, records, rejects = (described.get(name) for name in ("dialect", "records", "rejects"))
    return Manifest(
        state,
        _part(SourceRef, described.get("source"), "source"),
        _field(described, "settings_fingerprint", (str,), "manifest"),
        None if dialect is None else _dialect(dialect),
        _entries(_list(described, "schema")),
        None if records is None else _part(RecordCounts, records, "records"),
        tuple(_part(OutputRef, output, "outputs") for output in _list(described, "outputs")),
        None if rejects is None else _part(RejectsRef, rejects, "rejects"),
        _field(described, "attempt_id", (str, NoneType), "manifest"),
    )


def _dialect(described: object) -> Dialect:
    dialect = _part(Dialect, described, "dialect")
    if not all(isinstance(text, str) for text in dialect.null_values):
        message = "the manifest is damaged: dialect.null_values holds more than texts"
        raise ManifestError(message)
    bad = [name for name in ("delimiter", "quote_char", "escape_char") if _CHARACTER.refusal(getattr(dialect, name))]
    bad += [] if canonical_name(dialect.encoding) else ["encoding"]
    bad += [] if dialect.decimal_separator in _DECIMAL_SEPARATORS else ["decimal_separator"]
    bad += ["quote_char"] if dialect.quote_char == dialect.delimiter else []
    if bad:
        message = f"the manifest is damaged: dialect.{bad[0]} is {getattr(dialect, bad[0])!r}"
        raise ManifestError(message)
    return dialect


def _entries(described: list[Any]) -> tuple[SchemaEntry, ...]:
    from csv_transcode.schema import ColumnType  # noqa: PLC0415 -- brings Arrow, which a start does without

    return tuple(_entry(one, ColumnType.parse) for one in described)


def _entry(described: object, parse_type: Callable[[str], object]) -> SchemaEntry:
    """Return a column, of a type that there is, and spelt in words that there are."""
    entry = _part(SchemaEntry, described, "schema")
    try:
        parse_type(entry.type)
    except ValueError as error:
        message = f"the manifest is damaged: schema.type: {error}"
        raise ManifestError(message) from None
    spelling = entry.spelling or {}
    bad = [name for name, holds in _SPELLINGS.items() if name in spelling and not holds(spelling[name])]
    if bad:
        message = f"the manifest is damaged: schema.spelling.{bad[0]} is {spelling[bad[0]]!r}"
        raise ManifestError(message)
    return entry


def _is_text(described: object) -> bool:
    try:
        json.dumps(described, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _part(cls: type[_Part], described: object, where: str) -> _Part:
    """Return the part that ``described`` shows, with every field of the type it must have."""
    found = _object(described, where)
    values: dict[str, Any] = {name: _field(found, name, types, where) for name, types in _SHAPES[cls].items()}
    if cls is Dialect:
        values["null_values"] = tuple(values["null_values"])
    return cls(**values)


def _object(described: object, where: str) -> dict[str, Any]:
    if isinstance(described, dict):
        return described
    message = f"the manifest is damaged: {where} is {type(described).__name__}, expected an object"
    raise ManifestError(message)


def _list(described: dict[str, Any], name: str) -> list[Any]:
    found: list[Any] = _field(described, name, (list,), "manifest")
    return found


def _field(described: dict[str, Any], name: str, types: tuple[type, ...], where: str) -> Any:  # noqa: ANN401 - by types
    """Return a field that has exactly one of ``types``; a missing one counts as null."""
    value = described.get(name)
    # Exactly: to isinstance, True is an int. And no number in a manifest is negative.
    if type(value) in types and not (type(value) is int and value < 0):
        return value
    expected = " or ".join("null" if one is NoneType else one.__name__ for one in types)
    message = f"the manifest is damaged: {where}.{name} is {type(value).__name__}, expected {expected}"
    raise ManifestError(message)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Return structs as dicts, all the way down; other values as they are."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, Struct):
        return dict(value) if isinstance(value, Mapping) else value
    return {name: _plain(item) for name, item in asdict(value).items()}


def _without_none(described: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in described.items() if value is not None or name not in names}


def _canonical(value: Any) -> Any:  # noqa: ANN401 - any setting's value
    """Return a setting's value as JSON that does not depend on the order in which it was given."""
    if isinstance(value, Mapping):
        return {name: str(kind) for name, kind in value.items()}
    return sorted(set(value)) if isinstance(value, tuple) else value

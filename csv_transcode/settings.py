"""Settings: read once, from a mapping, into one frozen object that has no wrong values (contract section 1).

Each field's metadata holds its variable, its default as text, its meaning, its kind, and whether it decides bytes of
the outputs; the README's table and the manifest's fingerprint come from there.
"""

from __future__ import annotations

import itertools
from dataclasses import MISSING, dataclass, field, fields
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.errors import SettingsError, TranscodeError
from csv_transcode.keys import FORMATS, SOURCE_SUFFIXES, KeyMap, KeyTemplate, collision, overlap
from csv_transcode.setting_kinds import (
    AccountId,
    BucketName,
    Character,
    Choice,
    ColumnTypes,
    Encoding,
    Flag,
    Formats,
    Kind,
    KmsKeyId,
    NullValues,
    Number,
    Prefix,
    Suffixes,
    Template,
    WholeNumber,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from dataclasses import Field

    from csv_transcode.schema import ColumnType

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1 << 30
WORKERS_MAX: Final = 256
CACHED_OBJECTS_MAX: Final = 100_000
COLUMNS_MAX: Final = 100_000
RECORD_BYTES_MAX: Final = 64 * MIB
DECOMPRESSED_BYTES_MAX: Final = 1 << 50
DECOMPRESSION_RATIO_MAX: Final = 1_000_000
RETRIES_MAX: Final = 20
RETRY_BUDGET_MAX: Final = 1_000_000
TIMEOUT_SECONDS_LEAST: Final = 0.1
TIMEOUT_SECONDS_MOST: Final = 900.0  # a Lambda function's own limit
PART_BYTES_LEAST: Final = 5 * MIB  # S3's own limit, for any part but the last
PART_BYTES_MOST: Final = 256 * MIB
MEMORY_MB_LEAST: Final = 64
MEMORY_MB_MOST: Final = 1 << 20
COLUMN_TYPES_BYTES_MAX: Final = MIB
SHOWN_MAX: Final = 100

_ARROW_CODECS: Final = MappingProxyType(
    {name: name for name in ("snappy", "gzip", "zstd", "lz4", "brotli")} | {"zstandard": "zstd"}
)
_RARE_CODECS: Final = ("lz4", "brotli")


def _setting(
    variable: str,
    default_text: str,
    meaning: str,
    kind: Kind,
    *,
    default: Any = MISSING,  # noqa: ANN401 - each setting has its own type
    decides_bytes: bool = False,
    ours: bool = True,
) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Return a dataclass field; without ``default``, its kind parses ``default_text``.

    ``ours`` is False for what the platform says, which nobody sets.
    """
    metadata = {
        "variable": variable,
        "default": default_text,
        "meaning": meaning,
        "kind": kind,
        "decides_bytes": decides_bytes,
        "ours": ours,
    }
    return field(default=kind.parse(default_text) if default is MISSING else default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set. An instance always holds: wrong values raise ``SettingsError`` when it is made."""

    input_bucket: str = _setting(
        "INPUT_BUCKET", "required", "bucket that holds the CSV objects", BucketName(), default=""
    )
    output_bucket: str = _setting(
        "OUTPUT_BUCKET", "required", "bucket for outputs (may be the same bucket)", BucketName(), default=""
    )
    prefix: str = _setting(
        "PREFIX",
        "empty",
        "only keys under it are sources, taken literally (`in` matches `inbox/`); stripped from output keys",
        Prefix(),
        default="",
    )
    output_prefix: str = _setting(
        "OUTPUT_PREFIX",
        "processed/",
        "where outputs go; refused when outputs could become sources (same bucket, overlapping prefixes)",
        Prefix(),
    )
    key_template: str = _setting(
        "KEY_TEMPLATE",
        "{output_prefix}{stem}.{format}",
        "key of an output, with `{stem}` and `{format}`; `{output_prefix}{format}/{stem}.{format}` keeps each format"
        " in a folder of its own, as Athena and Glue tables want",
        Template(),
        decides_bytes=True,
    )
    source_suffixes: tuple[str, ...] = _setting(
        "SOURCE_SUFFIXES",
        ",".join(SOURCE_SUFFIXES),
        "what sources end in, in any case, each also with `.gz`, `.bz2`, `.xz` or `.zst` behind it; keys that a direct"
        " event names need none",
        Suffixes(),
    )
    max_workers: int = _setting("MAX_WORKERS", "20", "objects in flight at most", WholeNumber(1, WORKERS_MAX))
    use_wrangler: bool = _setting(
        "USE_WRANGLER",
        "False",
        "fetch objects with `awswrangler.s3.download`; decoding, promises and bytes are the same",
        Flag(),
    )
    cache_size: int = _setting(
        "CACHE_SIZE",
        "128",
        "objects that `read_s3_file` keeps for repeated reads, keyed by ETag, bounded in bytes, emptied when an"
        " invocation ends; 0 turns it off",
        WholeNumber(0, CACHED_OBJECTS_MAX),
    )
    output_formats: tuple[str, ...] = _setting(
        "OUTPUT_FORMATS", "parquet,avro", "which outputs to write", Formats(), decides_bytes=True
    )
    parquet_compression: str = _setting(
        "PARQUET_COMPRESSION",
        "snappy",
        "`none`, `snappy`, `gzip`, `zstd`, `lz4` or `brotli`, checked at start against the installed Arrow (a warning"
        " for the last two: many readers lack them)",
        Choice(("none", "snappy", "gzip", "zstd", "lz4", "brotli")),
        decides_bytes=True,
    )
    avro_codec: str = _setting(
        "AVRO_CODEC",
        "snappy",
        "`null`, `deflate`, `snappy` or `zstandard`",
        Choice(("null", "deflate", "snappy", "zstandard")),
        decides_bytes=True,
    )
    types: str = _setting(
        "TYPES", "infer", "`infer`, or `string`, which types nothing", Choice(("infer", "string")), decides_bytes=True
    )
    column_types: Mapping[str, ColumnType] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata={
            "variable": "COLUMN_TYPES",
            "default": "empty",
            "meaning": "JSON, inline or an `s3://` object: column name → `string`, `int64`, `double`, `decimal(p,s)`,"
            " `boolean`, `date`, `timestamp` or `timestamp_utc`; a record with a value that does not fit is rejected"
            " (`type`)",
            "kind": ColumnTypes(),
            "decides_bytes": True,
            "ours": True,
        },
    )
    decimals: str = _setting(
        "DECIMALS",
        "double",
        "`double`, or `decimal`, which makes fixed-scale columns `decimal(18,s)`",
        Choice(("double", "decimal")),
        decides_bytes=True,
    )
    nanoseconds: bool = _setting(
        "NANOSECONDS", "False", "allow nanosecond timestamps (Spark cannot read them)", Flag(), decides_bytes=True
    )
    delimiter: str | None = _setting(
        "DELIMITER",
        "detected",
        "the character between fields; `tab` and `\\t` are accepted",
        Character(),
        default=None,
        decides_bytes=True,
    )
    quote_char: str | None = _setting(
        "QUOTE_CHAR",
        "detected",
        "the character around quoted fields, or `none`",
        Character(can_be_none=True),
        default=None,
        decides_bytes=True,
    )
    escape_char: str | None = _setting(
        "ESCAPE_CHAR",
        "detected",
        "the character that makes the next one literal inside quotes, or `none` (quotes are doubled)",
        Character(can_be_none=True),
        default=None,
        decides_bytes=True,
    )
    encoding: str | None = _setting(
        "ENCODING",
        "detected",
        "the characters' encoding: any that Python knows, such as `utf-8`, `cp1252` or `utf-16-le`",
        Encoding(),
        default=None,
        decides_bytes=True,
    )
    header: str = _setting(
        "HEADER",
        "true",
        "whether the first record names the columns: `true`, `false`, or `auto`, which decides by the values",
        Choice(("true", "false", "auto")),
        decides_bytes=True,
    )
    decimal_separator: str = _setting(
        "DECIMAL_SEPARATOR",
        ".",
        "`.` or `,`: what stands before the fraction of a number",
        Choice((".", ",")),
        decides_bytes=True,
    )
    null_values: tuple[str, ...] = _setting(
        "NULL_VALUES",
        '[""]',
        "JSON array of the texts that are null, replaces the default, applies to unquoted cells only",
        NullValues(),
        decides_bytes=True,
    )
    max_rejected_ratio: float = _setting(
        "MAX_REJECTED_RATIO",
        "0.1",
        "a file with a larger share of rejected records fails as a whole; `1` accepts any",
        Number(0, 1),
    )
    max_record_bytes: int = _setting(
        "MAX_RECORD_BYTES",
        str(8 * MIB),
        "longest record, line end included",
        WholeNumber(1, RECORD_BYTES_MAX),
        decides_bytes=True,
    )
    max_columns: int = _setting(
        "MAX_COLUMNS", "10000", "widest header", WholeNumber(1, COLUMNS_MAX), decides_bytes=True
    )
    max_decompressed_bytes: int = _setting(
        "MAX_DECOMPRESSED_BYTES",
        str(64 * GIB),
        "largest source once it is decompressed",
        WholeNumber(1, DECOMPRESSED_BYTES_MAX),
    )
    max_decompression_ratio: float = _setting(
        "MAX_DECOMPRESSION_RATIO",
        "250",
        "how many times as large as the object it may be, beyond the first megabytes",
        Number(1, DECOMPRESSION_RATIO_MAX),
    )
    memory_budget_mb: int | None = _setting(
        "MEMORY_BUDGET_MB",
        "the function's memory, else the cgroup's",
        "what the process may use, in MiB; queues and workers are sized from it",
        WholeNumber(MEMORY_MB_LEAST, MEMORY_MB_MOST, can_be_none=True),
        default=None,
    )
    deadline_margin_seconds: float = _setting(
        "DEADLINE_MARGIN_SECONDS",
        "10",
        "stop taking work, and abort what cannot finish, when less than this remains",
        Number(0, TIMEOUT_SECONDS_MOST),
    )
    expected_input_bucket_owner: str | None = _setting(
        "EXPECTED_INPUT_BUCKET_OWNER",
        "empty",
        "account that must own `INPUT_BUCKET`: sent with every request there, and S3 refuses it where it is another's",
        AccountId(),
        default=None,
    )
    expected_output_bucket_owner: str | None = _setting(
        "EXPECTED_OUTPUT_BUCKET_OWNER",
        "empty",
        "account that must own `OUTPUT_BUCKET`, likewise",
        AccountId(),
        default=None,
    )
    output_kms_key_id: str | None = _setting(
        "OUTPUT_KMS_KEY_ID",
        "empty",
        "KMS key (id, alias or ARN) that everything written is encrypted with; without one, as the bucket says",
        KmsKeyId(),
        default=None,
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        "INFO",
        "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
        Choice(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    )
    traces: bool = _setting(
        "TRACES",
        "False",
        "make OpenTelemetry spans; where they go is for the ADOT layer, or `opentelemetry-instrument`, to say",
        Flag(),
    )
    retries_max: int = _setting(
        "RETRIES_MAX", "5", "repetitions of one S3 request at most", WholeNumber(0, RETRIES_MAX)
    )
    retry_budget: int = _setting(
        "RETRY_BUDGET",
        "500",
        "what all repetitions together may cost, 14 each and 5 after throttling; successes earn it back, and where"
        " nothing is left, requests fail at once: a sick bucket is not hammered",
        WholeNumber(0, RETRY_BUDGET_MAX),
    )
    connect_timeout_seconds: float = _setting(
        "CONNECT_TIMEOUT_SECONDS",
        "3",
        "longest wait for a connection to S3",
        Number(TIMEOUT_SECONDS_LEAST, TIMEOUT_SECONDS_MOST),
    )
    read_timeout_seconds: float = _setting(
        "READ_TIMEOUT_SECONDS",
        "15",
        "longest silence of S3 within an answer",
        Number(TIMEOUT_SECONDS_LEAST, TIMEOUT_SECONDS_MOST),
    )
    part_bytes: int = _setting(
        "PART_BYTES_MAX",
        str(8 * MIB),
        "size of the parts in which large objects are read and written",
        WholeNumber(PART_BYTES_LEAST, PART_BYTES_MOST),
    )
    function_memory_mb: int | None = _setting(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "empty",
        "the function's memory in MiB, as Lambda says it",
        WholeNumber(1, MEMORY_MB_MOST, can_be_none=True),
        default=None,
        ours=False,
    )

    def __post_init__(self) -> None:
        """Refuse wrong values and relations, all in one message; the installed codecs are asked for by the readers."""
        object.__setattr__(self, "column_types", _frozen(self.column_types))
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        refused = _refusals(values)
        _raise_if([*refused.values(), *_relation_problems(values, refused)])

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, str],
        fetch: Callable[[str], bytes] | None = None,
        has_codec: Callable[[str], bool] | None = None,
        has_module: Callable[[str], bool] | None = None,
    ) -> Settings:
        """Return the settings that the variables in ``mapping`` name; an empty text is the same as none.

        ``fetch`` returns the bytes at an ``s3://`` URL, for COLUMN_TYPES; ``has_codec`` says whether Arrow has a codec
        of that name, ``has_module`` whether a module is installed. All that is wrong is in one ``SettingsError``; what
        ``fetch`` raises passes if it is retryable.
        """
        values, refused = _parsed(mapping, fetch)
        values |= {item.name: _default(item) for item in fields(cls) if item.name not in values}
        refused = _refusals(values) | refused
        problems = [*refused.values(), *_relation_problems(values, refused)]
        problems += _wrangler_problems(values, refused, has_module)
        _raise_if([*problems, *_codec_problems(values, refused, has_codec)])
        return cls(**values)

    @classmethod
    def of(cls, input_bucket: str, output_bucket: str, **overrides: Any) -> Settings:  # noqa: ANN401 - typed values
        """Return settings from typed values, under the same checks as ``from_mapping``."""
        unknown = sorted(overrides.keys() - {item.name for item in fields(cls)})
        _raise_if([f"{name}: there is no such setting" for name in unknown])
        settings = cls(input_bucket=input_bucket, output_bucket=output_bucket, **overrides)
        values = vars(settings)
        _raise_if([*_wrangler_problems(values, {}, None), *_codec_problems(values, {}, None)])
        return settings

    @property
    def key_map(self) -> KeyMap:
        """Source key → output keys, under these settings."""
        places = self.prefix, self.output_prefix, self.key_template, self.input_bucket, self.output_bucket
        return KeyMap(*places, self.source_suffixes)

    @property
    def owners(self) -> dict[str, str]:
        """Bucket → the account that must own it, where one is set."""
        expected = [
            (self.input_bucket, self.expected_input_bucket_owner),
            (self.output_bucket, self.expected_output_bucket_owner),
        ]
        return {bucket: account for bucket, account in expected if account}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and yet likely to disappoint, one sentence each."""
        if "parquet" in self.output_formats and self.parquet_compression in _RARE_CODECS:
            return (f"PARQUET_COMPRESSION={self.parquet_compression}: many Parquet readers lack this codec",)
        return ()


def setting_rows() -> list[tuple[str, str, str]]:
    """Return (variable, default, meaning) of every setting, in the order of the README's table."""
    ours = [item.metadata for item in fields(Settings) if item.metadata["ours"]]
    return [(item["variable"], item["default"], item["meaning"]) for item in ours]


def variables() -> tuple[str, ...]:
    """Return the variable of every setting."""
    return tuple(variable for variable, _, _ in setting_rows())


def expected_owners(mapping: Mapping[str, str]) -> dict[str, str]:
    """Return bucket → account as the variables in ``mapping`` say, unchecked, for what is read before settings hold."""
    expected = [
        (mapping.get(f"{place}_BUCKET"), mapping.get(f"EXPECTED_{place}_BUCKET_OWNER")) for place in ("INPUT", "OUTPUT")
    ]
    return {bucket: account for bucket, account in expected if bucket and account}


def deciding_values(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide bytes of the outputs, or which outputs there are, by variable.

    Suffixes beyond the usual ones are among them, for they decide keys; to list fewer objects decides nothing.
    """
    deciding = [item for item in fields(settings) if item.metadata["decides_bytes"]]
    unusual = tuple(sorted({*settings.source_suffixes}.difference(SOURCE_SUFFIXES)))
    values = {item.metadata["variable"]: getattr(settings, item.name) for item in deciding}
    return values | ({"SOURCE_SUFFIXES": unusual} if unusual else {})


def _parsed(mapping: Mapping[str, str], fetch: Callable[[str], bytes] | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values given, by field, and the problems of those that are no values, also by field."""
    values: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for item in fields(Settings):
        text = mapping.get(item.metadata["variable"], "")
        if not text:
            continue
        try:
            values[item.name] = item.metadata["kind"].parse(_resolved(item, text, fetch))
        except ValueError as problem:
            refused[item.name] = _problem(item, text, str(problem))
    return values, refused


def _resolved(item: Field[Any], text: str, fetch: Callable[[str], bytes] | None) -> str:
    """Return the text itself, or for COLUMN_TYPES what lies at the URL that it is; ValueError where nothing does."""
    if item.name != "column_types" or not text.startswith("s3://"):
        return text
    if fetch is None:
        message = "an s3:// object cannot be read here: must be inline JSON"
        raise ValueError(message)
    try:
        content = fetch(text)
    except TranscodeError as error:
        if error.retryable:
            raise
        message = f"the object cannot be read: {error}"
        raise ValueError(message) from error
    if len(content) > COLUMN_TYPES_BYTES_MAX:
        message = f"the object must hold at most {COLUMN_TYPES_BYTES_MAX} bytes"
        raise ValueError(message)
    return content.decode()  # UnicodeDecodeError is a ValueError


def _refusals(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what the fields' own kinds refuse, by field."""
    found = {item: item.metadata["kind"].refusal(values[item.name]) for item in fields(Settings)}
    return {item.name: _problem(item, values[item.name], refusal) for item, refusal in found.items() if refusal}


def _relation_problems(values: Mapping[str, Any], refused: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong between values that are each allowed."""
    yield from _dialect_problems(values, refused)
    yield from _owner_problems(values, refused)
    names = ("input_bucket", "output_bucket", "prefix", "output_prefix", "key_template")
    if any(name in refused for name in names):
        return
    source, target, prefix, output_prefix, text = (values[name] for name in names)
    template = KeyTemplate.parse(text)
    if source == target:
        yield from _loop_problems(prefix, output_prefix, template)
    if folder := collision(template, output_prefix):
        yield f"KEY_TEMPLATE={_shown(text)}: an output could take the key of a record under {folder!r}"


def _dialect_problems(values: Mapping[str, Any], refused: Mapping[str, str]) -> Iterator[str]:
    """Yield which characters of the dialect could not be told apart."""
    names = [name for name in ("delimiter", "quote_char", "escape_char") if values[name] and name not in refused]
    for first, second in itertools.combinations(names, 2):
        if values[first] == values[second] and (first, second) != ("quote_char", "escape_char"):
            yield f"{first.upper()} and {second.upper()} are both {_shown(values[first])}: they must differ"


def _loop_problems(prefix: str, output_prefix: str, template: KeyTemplate) -> Iterator[str]:
    """Yield how outputs could become sources, in one bucket."""
    allowed = "in one bucket, outputs must lie where no source can, and PREFIX must not be empty"
    if overlap(prefix, output_prefix):
        yield f"OUTPUT_PREFIX={_shown(output_prefix)}: overlaps PREFIX={_shown(prefix)}; {allowed}"
        return
    heads = {template.head(output_prefix, name) for name in FORMATS}
    for head in sorted(head for head in heads if overlap(prefix, head)):
        yield f"KEY_TEMPLATE: its keys begin with {_shown(head)}, which overlaps PREFIX={_shown(prefix)}; {allowed}"


def _owner_problems(values: Mapping[str, Any], refused: Mapping[str, str]) -> Iterator[str]:
    """Yield that one bucket cannot have two owners."""
    names = ("expected_input_bucket_owner", "expected_output_bucket_owner")
    one, other = (None if name in refused else values[name] for name in names)
    if values["input_bucket"] == values["output_bucket"] and one and other and one != other:
        yield f"{names[1].upper()}={_shown(other)}: must be {_shown(one)}, as {names[0].upper()} is: it is one bucket"


def _wrangler_problems(
    values: Mapping[str, Any], refused: Mapping[str, str], has_module: Callable[[str], bool] | None
) -> Iterator[str]:
    """Yield that USE_WRANGLER wants a package that is not installed; to import it here would take half a second."""
    if "use_wrangler" not in refused and values["use_wrangler"] and not (has_module or _is_installed)("awswrangler"):
        yield (
            "USE_WRANGLER=True: awswrangler is not installed here; unset USE_WRANGLER, or deploy a package that was"
            " built without SLIM=1"
        )


def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def _codec_problems(
    values: Mapping[str, Any], refused: Mapping[str, str], has_codec: Callable[[str], bool] | None
) -> Iterator[str]:
    """Yield the codecs, of formats that are written, that the installed Arrow was built without."""
    asked = {"parquet": "parquet_compression", "avro": "avro_codec"}
    if "output_formats" in refused:
        return
    for name in (asked[format_name] for format_name in values["output_formats"]):
        codec = _ARROW_CODECS.get(values[name])
        if name not in refused and codec and not (has_codec or _arrow_has)(codec):
            yield f"{name.upper()}={_shown(values[name])}: the installed Arrow lacks this codec, choose another"


def _arrow_has(codec: str) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - 60 ms, and only for this question

    return bool(pa.Codec.is_available(codec))  # type: ignore[arg-type]  # one of _ARROW_CODECS


def _default(item: Field[Any]) -> Any:  # noqa: ANN401 - each setting has its own type
    return item.default if item.default_factory is MISSING else item.default_factory()


def _frozen(value: object) -> object:
    """Return a read-only copy of a dict, anything else as it is: refusing it is the kind's task."""
    return MappingProxyType(dict(value)) if isinstance(value, dict) else value


def _problem(item: Field[Any], value: object, refusal: str) -> str:
    return f"{item.metadata['variable']}={_shown(value)}: {refusal}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def _raise_if(problems: list[str]) -> None:
    if problems:
        count = "1 setting is wrong" if len(problems) == 1 else f"{len(problems)} settings are wrong"
        message = "\n  ".join([f"{count}:", *problems])
        raise SettingsError(message)

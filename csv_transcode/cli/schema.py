"""``schema``: what a file or an object would become, and why; nothing is written."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.description import described_source
from csv_transcode.cli.options import NOWHERE, add_common, given, location, require_use, settings_of
from csv_transcode.cli.screen import shown, table
from csv_transcode.cli.sources import open_chunks
from csv_transcode.cli.survey import survey
from csv_transcode.conversion import plan_of
from csv_transcode.errors import SettingsError
from csv_transcode.pipeline import Pools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csv_transcode.cli.call import Call
    from csv_transcode.cli.survey import Survey
    from csv_transcode.settings import Settings

REJECTS_SHOWN_MAX: Final = 5
FOUND: Final = ("DELIMITER", "QUOTE_CHAR", "ESCAPE_CHAR", "ENCODING", "HEADER")  # or given

DESCRIPTION: Final = """\
Read a whole source as a conversion would, in bounded memory, and say what it is: compression, encoding, dialect, and
for each column its type, how its values are spelt, and of every narrower type the first record (from 1, after the
header) that rules it out: for one that no value speaks for, as no whole number does for a double, that is the first
value. Nothing is written.
"""
EPILOG: Final = """\
examples
  python -m csv_transcode schema day.csv
      a table of columns: name, type, spelling, and why it is no narrower type
  python -m csv_transcode schema s3://landing/in/day.csv.gz
      the same of an object
  python -m csv_transcode schema day.csv --json | jq '.schema[] | {name, type, ruled_out}'
      for programs; dialect and schema are as in a manifest, but that ruled_out names all types
  python -m csv_transcode schema day.csv --set 'COLUMN_TYPES={"zip": "string"}' --set DECIMALS=decimal
      with other settings: try them before you convert

exit codes
  0  it can be converted             1    it cannot: standard error says why
  2  the command or a setting is     130  interrupted
     wrong                           141  nobody reads standard output any more
"""


def register(verbs: Any) -> None:  # noqa: ANN401 -- argparse gives its type no public name
    """Add this verb's parser."""
    parser = verbs.add_parser(
        "schema",
        help="what a file or an object would become, with the evidence; nothing is written",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="a local file, or s3://bucket/key")
    add_common(parser)
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """Say what the source would become."""
    source = location(call.options.source)
    chosen = given(call.options.set, one_object=False)
    require_use(chosen, from_s3=isinstance(source, tuple), to_s3=False, writes=False)
    if isinstance(source, tuple) and source[1][-1:] in ("", "/"):
        message = "SOURCE must be one object, s3://bucket/key, or one file"
        raise SettingsError(message)
    if isinstance(source, Path) and source.is_dir():
        message = f"SOURCE must be a file, {source} is a folder"
        raise SettingsError(message)
    bucket = source[0] if isinstance(source, tuple) else NOWHERE
    settings = settings_of(call, chosen, INPUT_BUCKET=bucket, OUTPUT_BUCKET=f"{NOWHERE}-out")
    with ExitStack() as stack:
        pool = stack.enter_context(call.runtime.executor(call.runtime.cores, "decode"))
        chunks, size = open_chunks(source, settings, call.runtime, stack)
        meter = stack.enter_context(call.screen.meter(size))
        pools = Pools(pool, pool, window=call.runtime.cores + 1)
        found = survey(meter.counting(chunks)(), plan_of(settings), pools)
    if found is None:
        call.screen.say("skipped: it is empty: it holds no record, and no header")
        return OK
    return _told(found, size, settings, call)


def _told(found: Survey, size: int, settings: Settings, call: Call) -> int:
    if call.options.json:
        call.screen.print_json(_described(found, size, settings, call.options.source))
    else:
        for line in _lines(found, size, settings):
            call.screen.print(line)
    if found.rejected > settings.max_rejected_ratio * max(found.read, 1):
        call.screen.say(
            f"error: {found.rejected:,} of {found.read:,} records would be rejected, more than "
            f"MAX_REJECTED_RATIO={settings.max_rejected_ratio:g} allows: a conversion would fail"
        )
        return FAILED
    return OK


def _described(found: Survey, size: int, settings: Settings, source: str) -> dict[str, Any]:
    described = described_source(found.dialect, found.schema)
    for entry, ruled_out in zip(described["schema"], found.ruled_out, strict=True):
        entry["ruled_out"] = dict(ruled_out)
    records = {"read": found.read, "written": found.read - found.rejected, "rejected": found.rejected}
    rejects = [{**reject.to_dict()} for reject in found.rejects[:REJECTS_SHOWN_MAX]]
    return {
        "source": source,
        "bytes": size,
        **described,
        "evidence": _evidence(found, settings),
        "records": records,
        "reasons": dict(found.reasons),
        "rejects": rejects,
    }


def _evidence(found: Survey, settings: Settings) -> dict[str, str]:
    """Return where each part of the dialect comes from."""
    evidence = {
        name.lower(): "detected" if getattr(settings, name.lower()) in (None, "auto") else "given" for name in FOUND
    }
    if found.mark_bytes:
        evidence["encoding"] = "byte-order mark"
    return {"compression": "magic bytes"} | evidence


def _lines(found: Survey, size: int, settings: Settings) -> Iterator[str]:
    """Yield the source's description, and the table of its columns."""
    dialect, evidence = found.dialect, _evidence(found, settings)
    quote, escape = dialect.quote_char, dialect.escape_char
    yield from table(
        [
            ("bytes", f"{size:,}"),
            ("compression", dialect.compression or "none"),
            ("encoding", f"{dialect.encoding} ({evidence['encoding']})"),
            ("delimiter", f"{dialect.delimiter!r} ({evidence['delimiter']})"),
            ("quote", f"{repr(quote) if quote else 'none'} ({evidence['quote_char']})"),
            ("escape", f"{repr(escape) if escape else 'none'} ({evidence['escape_char']})"),
            ("header", f"{'the first record' if dialect.header else 'none'} ({evidence['header']})"),
            ("records", f"{found.read:,} read, {found.rejected:,} would be rejected"),
        ]
    )
    for reject in found.rejects[:REJECTS_SHOWN_MAX]:
        yield shown(f"  line {reject.line}, byte {reject.offset}: {reject.reason}: {reject.detail}")
    if found.rejected > REJECTS_SHOWN_MAX:
        yield "  and " + ", ".join(f"{count:,} for {reason}" for reason, count in found.reasons.items()) + " in all"
    yield ""
    heads = ("", "column", "type", "spelling", "ruled out by record")
    rows = [
        (str(number), column.name, str(column.type), _spelling(column.spelling), _records(ruled_out))
        for number, (column, ruled_out) in enumerate(zip(found.schema.columns, found.ruled_out, strict=True), start=1)
    ]
    yield from table([heads, *rows])


def _spelling(spelling: Any) -> str:  # noqa: ANN401 -- what JSON can say
    return ", ".join(f"{name} {value}" for name, value in (spelling or {}).items())


def _records(ruled_out: Any) -> str:  # noqa: ANN401 -- a mapping of names to records
    return ", ".join(f"{name} {record:,}" for name, record in ruled_out.items())

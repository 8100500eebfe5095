"""``rejects``: the records that were set aside, to be looked at, and to be repaired and converted again."""

from __future__ import annotations

import argparse
import base64
import csv
import io
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.cli.call import OK
from csv_transcode.cli.failures import STANDING, failure_of
from csv_transcode.cli.listed_rejects import read_rejects
from csv_transcode.cli.options import add_common, add_keys, asked_of, given, location, require_use
from csv_transcode.cli.screen import shown
from csv_transcode.cli.sources import ObjectReader, store_of
from csv_transcode.commit import read_manifest
from csv_transcode.conversion import plan_of
from csv_transcode.decode.reader import read_head
from csv_transcode.errors import ObjectNotFoundError, SettingsError
from csv_transcode.keys import SIDECARS
from csv_transcode.local import LocalTarget, folder_made, read_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from csv_transcode.cli.call import Call
    from csv_transcode.cli.listed_rejects import ListedReject
    from csv_transcode.cli.options import Asked
    from csv_transcode.manifest import Manifest
    from csv_transcode.s3.store import ObjectStore

TEXT_SHOWN_MAX: Final = 120

DESCRIPTION: Final = """\
List the records that conversions have set aside: line and byte in the source (decompressed, in UTF-8), the reason,
and what stands there. Of a file that failed, which has no outputs, they are the first 1,000, from its _failed/ record.

--export writes them as a CSV, under the header of their source: correct it, and convert it like any other. Lines before
a header are left out. For a prefix, FILE is a folder, with a file for each object that has any.
"""
EPILOG: Final = """\
examples
  python -m csv_transcode rejects s3://landing/in/day.csv s3://lake/processed/
      what is wrong with the records of one object
  python -m csv_transcode rejects s3://landing/in/ s3://lake/processed/ --json | jq -r .reason | sort | uniq -c
      of all under a prefix, a line of JSON each: which reasons there are
  python -m csv_transcode rejects s3://landing/in/day.csv s3://lake/processed/ --export repair.csv
      for repair: correct the records, then  python -m csv_transcode convert repair.csv out/
  python -m csv_transcode rejects out/day.rejects.jsonl
      those of a conversion to local files

exit codes
  0  listed, also where there are none    1    something cannot be read
  2  the command or a setting is wrong    130  interrupted      141  nobody reads standard output any more
"""


@dataclass(frozen=True)
class _Listed:
    """The rejects of one key, and what their file's header and dialect are."""

    key: str
    names: tuple[str, ...]
    delimiter: str
    quote_char: str | None
    has_header: bool
    rejects: Iterable[ListedReject]

    def header(self) -> bytes:
        """Return the header as the dialect writes it; nothing where the source has none."""
        if not self.has_header:
            return b""
        line = io.StringIO()
        quoting: Any = csv.QUOTE_MINIMAL if self.quote_char else csv.QUOTE_NONE
        quote = self.quote_char or '"'
        csv.writer(line, delimiter=self.delimiter, quotechar=quote, quoting=quoting, lineterminator="\n").writerow(
            self.names
        )
        return line.getvalue().encode()


def register(verbs: Any) -> None:  # noqa: ANN401 -- argparse gives its type no public name
    """Add this verb's parser."""
    parser = verbs.add_parser(
        "rejects",
        help="the records that were set aside, and why; --export writes them as a CSV for repair",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="s3://bucket/key, s3://bucket/prefix/, or a .rejects.jsonl")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="s3://bucket/prefix/ that they are converted to")
    parser.add_argument("--export", metavar="FILE", help="write them as a CSV for repair (objects in S3)")
    add_keys(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """List them, or write them down for repair."""
    options = call.options
    source = location(options.source)
    if isinstance(source, Path):
        return _list_file(source, call)
    if options.target is None:
        message = "TARGET is missing: s3://bucket/prefix/ that SOURCE is converted to"
        raise SettingsError(message)
    asked = asked_of(call)
    store = store_of(asked.settings, call.runtime)
    with ExitStack() as stack:
        io_threads = stack.enter_context(call.runtime.executor(call.runtime.cores, "io"))
        found = _Rejects(asked, store, ObjectReader(store, asked.settings, io_threads))
        if options.export:
            _export(found, Path(options.export), call)
        else:
            _list(((listed.key, listed.rejects) for listed in found), call)
    return OK


def _list_file(path: Path, call: Call) -> int:
    options = call.options
    if options.target or options.export or options.keys:
        message = "a local rejects file can be listed, and nothing else: it does not say what its source's header was"
        raise SettingsError(message)
    require_use(given(options.set, one_object=False), from_s3=False, to_s3=False, writes=False)
    _list([(str(path), read_rejects(read_chunks(path)))], call)
    return OK


def _list(found: Iterable[tuple[str, Iterable[ListedReject]]], call: Call) -> None:
    files = records = 0
    for key, rejects in found:
        files += 1
        for reject in rejects:
            records += reject.is_record
            if call.options.json:
                call.screen.print_json(_described(key, reject), indent=None)
            else:
                call.screen.print(_line(key, reject))
    call.screen.say(f"{records:,} records rejected in {files:,} files")


def _described(key: str, reject: ListedReject) -> dict[str, Any]:
    described = {name: value for name, value in vars(reject).items() if name != "raw"}
    try:
        return {"key": key} | described | {"raw": reject.raw.decode()}
    except UnicodeDecodeError:
        return {"key": key} | described | {"raw_base64": base64.b64encode(reject.raw).decode()}


def _line(key: str, reject: ListedReject) -> str:
    text = reject.raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
    text = text if len(text) <= TEXT_SHOWN_MAX else f"{text[:TEXT_SHOWN_MAX]}…"
    where = f"record {reject.record}, line" if reject.is_record else "line"
    return shown(f"{key}: {where} {reject.line}, byte {reject.offset}: {reject.reason}: {reject.detail}: {text}")


class _Rejects:
    """What has been rejected of the keys that are asked for: those that have any."""

    def __init__(self, asked: Asked, store: ObjectStore, reader: ObjectReader) -> None:
        self._asked = asked
        self._settings = asked.settings
        self._store = store
        self._reader = reader
        self.is_one = asked.keys is not None and len(asked.keys) == 1

    def __iter__(self) -> Iterator[_Listed]:
        for key in self._keys():
            listed = self._of(key)
            if listed is not None:
                yield listed

    def relative(self, key: str) -> str:
        """Return the key without the prefix."""
        return key.removeprefix(self._settings.prefix)

    def _keys(self) -> Sequence[str]:
        """Return the keys that are asked for, or all that have rejects, or have failed."""
        if self._asked.keys is not None:
            return self._asked.keys
        settings, found = self._settings, set()
        for name in ("rejects", "failed"):
            folder, suffix = SIDECARS[name]
            folder = f"{settings.output_prefix}{folder}"
            for one in self._store.list_objects(settings.output_bucket, folder):
                found.add(settings.prefix + one.key.removeprefix(folder).removesuffix(suffix))
        return sorted(found)

    def _of(self, key: str) -> _Listed | None:
        """Return the rejects of one key: its newest failure's, where that stands, else those its manifest names."""
        failure = failure_of(key, self._asked, self._store)
        if failure is not None and failure.state in STANDING:
            return self._failed(key, failure.rejects) if failure.rejects else None
        keys = self._settings.key_map.map(key)
        standing = read_manifest(self._store, self._settings.output_bucket, keys.manifest)
        manifest = standing.manifest
        if manifest is None or not manifest.is_committed:
            if self.is_one:
                message = "it is not converted, and no failure is recorded: there is nothing to list"
                raise ObjectNotFoundError(message)
            return None
        is_its_own = (manifest.source.bucket, manifest.source.key) == (self._settings.input_bucket, key)
        return self._converted(key, manifest) if is_its_own and manifest.rejects else None

    def _converted(self, key: str, manifest: Manifest) -> _Listed:
        assert manifest.dialect is not None  # noqa: S101 -- a committed one has it
        assert manifest.rejects is not None  # noqa: S101
        named, dialect = manifest.rejects, manifest.dialect
        rejects = read_rejects(self._reader.chunks(named.bucket, named.key, named.etag))
        names = tuple(entry.name for entry in manifest.schema)
        return _Listed(key, names, dialect.delimiter, dialect.quote_char, dialect.header, rejects)

    def _failed(self, key: str, rejects: Iterable[ListedReject]) -> _Listed:
        """Return the rejects of a file without a manifest: its head is read for its header."""
        opened = self._reader.newest(self._settings.input_bucket, key)
        with opened:
            head = read_head(opened.chunks(), plan_of(self._settings).reading)
        if head is None:
            return _Listed(key, (), ",", None, has_header=False, rejects=rejects)
        dialect = head.dialect
        return _Listed(key, head.header, dialect.delimiter, dialect.quote_char, dialect.header, rejects)


def _export(found: _Rejects, place: Path, call: Call) -> None:
    files = records = 0
    for listed in found:
        path = place if found.is_one else place / _safe(found.relative(listed.key))
        written = _write(listed, path)
        if written:
            files, records = files + 1, records + written
            settings = "" if listed.has_header else " --set HEADER=false"
            settings += "" if listed.delimiter == "," else f" --set 'DELIMITER={listed.delimiter}'"
            call.screen.say(f"exported: {path}, {written:,} records; convert it with --set ENCODING=utf-8{settings}")
    call.screen.say(f"{records:,} records exported to {files:,} files")
    if call.options.json:
        call.screen.print_json({"files": files, "records": records})


def _safe(relative: str) -> PurePosixPath:
    """Return where a key's file goes below a folder; SettingsError where that would lie elsewhere."""
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative or not path.parts:
        message = f"the key {relative!r} cannot be a file's path: export it alone, to a FILE of your choice"
        raise SettingsError(message)
    return path


def _write(listed: _Listed, path: Path) -> int:
    """Write the records, if there are any, to a file that appears whole or not at all; return how many they are."""
    records = (reject.raw for reject in listed.rejects if reject.is_record)
    first = next(records, None)
    if first is None:
        return 0
    count = 0
    with ExitStack() as stack:
        stack.enter_context(folder_made(path.parent))
        target = LocalTarget(path)
        stack.callback(target.abort)
        target.open()
        target.write(listed.header())
        for raw in chain([first], records):
            target.write(raw if raw.endswith((b"\n", b"\r")) else raw + b"\n")
            count += 1
        target.finish()
        target.publish()
    return count

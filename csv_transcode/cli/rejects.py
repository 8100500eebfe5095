"""``rejects``: the records that were set aside, to be looked at, and to be repaired and converted again."""

from __future__ import annotations

import argparse
import base64
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.failures import STANDING, failure_of
from csv_transcode.cli.interruption import ending_as_ctrl_c
from csv_transcode.cli.listed_rejects import read_rejects
from csv_transcode.cli.options import add_common, add_keys, asked_of, given, location, require_use
from csv_transcode.cli.repairs import Layout, path_below, require_free, write
from csv_transcode.cli.screen import shown
from csv_transcode.cli.sources import ObjectReader, store_of
from csv_transcode.cli.troubles import Troubles
from csv_transcode.commit import read_manifest
from csv_transcode.conversion import plan_of
from csv_transcode.decode.reader import read_head
from csv_transcode.errors import ManifestError, ObjectNotFoundError, PreconditionFailedError, SettingsError
from csv_transcode.keys import SIDECARS
from csv_transcode.local import read_chunks
from csv_transcode.manifest import SourceRef, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from csv_transcode.cli.call import Call
    from csv_transcode.cli.failures import Failure
    from csv_transcode.cli.listed_rejects import ListedReject
    from csv_transcode.cli.options import Asked
    from csv_transcode.cli.screen import Screen
    from csv_transcode.s3.reader import Source
    from csv_transcode.s3.store import ObjectStore

TEXT_SHOWN_MAX: Final = 120

DESCRIPTION: Final = """\
List the records that conversions have set aside: line and byte in the source (decompressed, in UTF-8), the reason,
and what stands there. Of a file that failed, which has no outputs, they are the first 1,000, from its _failed/ record.

--export writes them as a CSV, under the header of their source: correct it, and convert it with the settings that are
said, by which it is read, and typed, as its source was. Lines before a header are left out. A file that stands is not
overwritten. For a prefix, FILE is a folder, with a file for each object that has any.
"""
EPILOG: Final = """\
examples
  python -m csv_transcode rejects s3://landing/in/day.csv s3://lake/processed/
      what is wrong with the records of one object
  python -m csv_transcode rejects s3://landing/in/ s3://lake/processed/ --json | jq -r .reason | sort | uniq -c
      of all under a prefix, a line of JSON each: which reasons there are
  python -m csv_transcode rejects s3://landing/in/day.csv s3://lake/processed/ --export repair.csv
      for repair: correct the records, then  python -m csv_transcode convert repair.csv out/ --set ...  as it says
  python -m csv_transcode rejects out/day.rejects.jsonl
      those of a conversion to local files

exit codes
  0  listed, also where there are none    1    something cannot be read
  2  the command or a setting is wrong    130  interrupted      141  nobody reads standard output any more
"""


class _Listed(Struct, frozen=True):
    """The rejects of one key; ``layout`` finds out, once it is asked for, what its source's records are."""

    key: str
    rejects: Iterable[ListedReject]
    layout: Callable[[], Layout]


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
        found = _Rejects(asked, store, ObjectReader(store, asked.settings, io_threads), call.screen)
        if options.export:
            return _export(found, Path(options.export), call)
        troubles = Troubles(call, lines=options.json)
        _list(found.each(found.asked(), troubles), call, troubles)
    return FAILED if troubles.keys else OK


def _list_file(path: Path, call: Call) -> int:
    options = call.options
    if options.target or options.export or options.keys:
        message = "a local rejects file can be listed, and nothing else: it does not say what its source's header was"
        raise SettingsError(message)
    require_use(given(options.set, one_object=False), from_s3=False, to_s3=False, writes=False)
    _list([_Named(str(path), read_rejects(read_chunks(path)))], call)
    return OK


class _Named(NamedTuple):
    key: str
    rejects: Iterable[ListedReject]


def _list(found: Iterable[_Listed | _Named], call: Call, troubles: Troubles | None = None) -> None:
    files = records = 0
    for listed in found:
        files += 1
        with troubles.of(listed.key) if troubles else nullcontext():
            for reject in listed.rejects:
                records += reject.is_record
                if call.options.json:
                    call.screen.print_json(_described(listed.key, reject), indent=None)
                else:
                    call.screen.print(_line(listed.key, reject))
    where = "" if files else f" of {call.options.source}"
    call.screen.say(f"{records:,} records rejected in {files:,} files{where}")


def _described(key: str, reject: ListedReject) -> dict[str, Any]:
    described = {name: value for name, value in asdict(reject).items() if name != "raw"}
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

    def __init__(self, asked: Asked, store: ObjectStore, reader: ObjectReader, screen: Screen) -> None:
        self._asked = asked
        self._settings = asked.settings
        self._store = store
        self._reader = reader
        self._screen = screen
        self.is_one = asked.keys is not None and len(asked.keys) == 1

    def each(self, keys: Iterable[str], troubles: Troubles) -> Iterator[_Listed]:
        """Yield the rejects of each key that has any; what stands in the way of one key's is said."""
        for key in keys:
            listed = None
            with troubles.of(key):
                listed = self._of(key)
            if listed is not None:
                yield listed

    def relative(self, key: str) -> str:
        """Return the key without the prefix."""
        return key.removeprefix(self._settings.prefix)

    def asked(self) -> Sequence[str]:
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
            return _Listed(key, failure.rejects, partial(self._layout, failure)) if failure.rejects else None
        keys = self._settings.key_map.map(key)
        standing = read_manifest(self._store, self._settings.output_bucket, keys.manifest)
        manifest = standing.manifest
        if manifest is None or not manifest.is_committed:
            if self.is_one:
                message = "it is not converted, and no failure is recorded: there is nothing to list"
                raise ObjectNotFoundError(message)
            return None
        is_its_own = (manifest.source.bucket, manifest.source.key) == (self._settings.input_bucket, key)
        named = manifest.rejects
        if not is_its_own or named is None:
            return None
        rejects = read_rejects(self._reader.chunks(named.bucket, named.key, named.etag))
        return _Listed(key, rejects, partial(Layout.of_manifest, manifest))

    def _layout(self, failure: Failure) -> Layout:
        """Return the layout of a file without a manifest: the head is read of the version that has failed."""
        if failure.fingerprint != fingerprint(self._settings):
            self._screen.say(
                f"warning: {failure.key} failed under other settings than these, by which its header is looked for now"
            )
        with self._as_it_failed(failure) as opened:
            head = read_head(opened.chunks(), plan_of(self._settings).reading)
        if head is None:  # no file that is empty has rejects
            message = f"no header is found in the version that failed, {failure.etag}: were the settings others?"
            raise ManifestError(message)
        return Layout.of_head(head.header, head.dialect, self._settings)

    def _as_it_failed(self, failure: Failure) -> Source:
        """Open the version of the source that has failed; ObjectNotFoundError where it cannot be had any more."""
        etag = failure.etag or ""
        ref = SourceRef(self._settings.input_bucket, failure.key, failure.version_id, etag, 0)
        for version_id in dict.fromkeys((None, failure.version_id)):
            with suppress(PreconditionFailedError, ObjectNotFoundError):
                return self._reader.source(ref, version_id)
        message = f"the source has changed since: ETag {etag} failed, and cannot be read any more for its header"
        raise ObjectNotFoundError(message)


def _export(found: _Rejects, place: Path, call: Call) -> int:
    options, screen = call.options, call.screen
    paths = {key: place if found.is_one else path_below(place, found.relative(key)) for key in found.asked()}
    for path in paths.values():
        require_free(path)
    troubles = Troubles(call, lines=False)
    files = records = 0
    for listed in found.each(paths, troubles):
        with troubles.of(listed.key), ending_as_ctrl_c():
            layout, path = listed.layout(), paths[listed.key]
            written = write(layout, listed.rejects, path)
            if written:
                files, records = files + 1, records + written
                screen.say(f"exported: {shown(str(path))}, {written:,} records; convert it with {layout.advice()}")
    screen.say(f"{records:,} records exported to {files:,} files")
    if options.json:
        screen.print_json({"files": files, "records": records} | ({"errors": troubles.keys} if troubles.keys else {}))
    return FAILED if troubles.keys else OK

"""What verbs have in common on the command line: places, settings, and how they are refused."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from msgspec import Struct

from csv_transcode.errors import SettingsError
from csv_transcode.settings import COLUMN_TYPES_BYTES_MAX, Settings, expected_owners, variables
from csv_transcode.telemetry import configure_logging

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping

    from csv_transcode.cli.call import Call

NOWHERE: Final = "local-files"  # a bucket's name, which Settings wants and local files do not use
PLACES: Final = ("INPUT_BUCKET", "OUTPUT_BUCKET", "PREFIX", "OUTPUT_PREFIX")  # what SOURCE and TARGET say
FOR_PROGRAMS: Final = ("CACHE_SIZE",)
FOR_LAMBDA: Final = ("DEADLINE_MARGIN_SECONDS",)
FOR_S3_TARGETS: Final = (
    *("KEY_TEMPLATE", "MAX_WORKERS", "USE_WRANGLER", "LOG_LEVEL", "TRACES", "SOURCE_SUFFIXES", "MEMORY_BUDGET_MB"),
    *("EXPECTED_OUTPUT_BUCKET_OWNER", "OUTPUT_KMS_KEY_ID"),
)
FOR_OUTPUTS: Final = ("OUTPUT_FORMATS", "PARQUET_COMPRESSION", "AVRO_CODEC")
FOR_S3: Final = (
    *("RETRIES_MAX", "RETRY_BUDGET", "CONNECT_TIMEOUT_SECONDS", "READ_TIMEOUT_SECONDS", "PART_BYTES_MAX"),
    "EXPECTED_INPUT_BUCKET_OWNER",
)

DESCRIPTION: Final = "CSV becomes Parquet and Avro, exactly: no value is changed, no record is lost without a word."


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb takes."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting; may be repeated")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output, for programs")
    parser.add_argument("--quiet", action="store_true", help="no progress, only errors")


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add what the verbs over S3 take: the two places of a conversion, and which of its keys."""
    parser.add_argument("source", metavar="SOURCE", help="s3://bucket/key, or s3://bucket/prefix/ for all under it")
    parser.add_argument("target", metavar="TARGET", help="s3://bucket/prefix/ that they are converted to")
    add_keys(parser)


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add the choice of keys."""
    parser.add_argument(
        "--keys", metavar="FILE", help="of a prefix, only the keys in this file, one a line (-: standard input)"
    )


class Asked(Struct, frozen=True):
    """Conversions in S3 that a call is about: ``keys``, or all under the prefix of the settings."""

    settings: Settings
    keys: tuple[str, ...] | None


def asked_of(call: Call) -> Asked:
    """Return what SOURCE, TARGET, --keys and the settings name; SettingsError where it is not in S3."""
    source, target = location(call.options.source), location(call.options.target, folder=True)
    if not isinstance(source, tuple) or not isinstance(target, tuple):
        message = "SOURCE and TARGET are s3://bucket/key or s3://bucket/prefix/, and s3://bucket/prefix/"
        raise SettingsError(message)
    bucket, key = source
    folder = key[: key.rfind("/") + 1]
    chosen = given(call.options.set, one_object=key != folder)
    require_use(chosen, from_s3=True, to_s3=True)
    places = {"INPUT_BUCKET": bucket, "PREFIX": folder, "OUTPUT_BUCKET": target[0], "OUTPUT_PREFIX": target[1]}
    settings = replace(settings_of(call, chosen, **places), output_prefix=target[1])
    if chosen.get("LOG_LEVEL") or call.environment.get("LOG_LEVEL"):  # the screen says enough to who asks for no log
        configure_logging(settings.log_level)
    return Asked(settings, _keys(call, source, folder))


def _keys(call: Call, source: tuple[str, str], folder: str) -> tuple[str, ...] | None:
    """Return the one key that SOURCE is, those of --keys, or None for all."""
    bucket, key = source
    file = call.options.keys
    if file is None:
        return None if key == folder else (key,)
    if key != folder:
        message = f"--keys chooses among the keys under a prefix: write s3://{bucket}/{folder} as SOURCE"
        raise SettingsError(message)
    try:
        with _lines(file) as lines:
            keys = tuple(dict.fromkeys(line.removesuffix("\n").removesuffix("\r") for line in lines if line.strip()))
        _ = [key.encode() for key in keys]  # not every locale is strict about standard input
    except UnicodeError:
        message = f"--keys {file}: it is not UTF-8"
        raise SettingsError(message) from None
    if outside := next((key for key in keys if not key.startswith(folder)), None):
        message = f"--keys {file}: {outside!r} does not lie under SOURCE; keys are whole, as in {folder}day.csv"
        raise SettingsError(message)
    return keys


@contextmanager
def _lines(file: str) -> Iterator[IO[str]]:
    if file == "-":
        yield sys.stdin
        return
    with Path(file).open(encoding="utf-8", newline="\n") as lines:
        yield lines


def location(text: str, *, folder: bool = False) -> tuple[str, str] | Path:
    """Return (bucket, key or prefix) of an S3 URL, or a local path; what is a ``folder`` may lack its last slash."""
    if not text.startswith("s3://"):
        return Path(text)
    bucket, _, key = text.removeprefix("s3://").partition("/")
    return bucket, f"{key}/" if folder and key and not key.endswith("/") else key


def given(pairs: Iterable[str], *, one_object: bool) -> dict[str, str]:
    """Return the settings given as NAME=VALUE.

    Of the places, only PREFIX can be given, for ``one_object``: which part of its key is not part of the outputs'.
    """
    unequal = [pair for pair in pairs if "=" not in pair]
    if unequal:
        message = f"--set takes NAME=VALUE, found {unequal[0]!r}"
        raise SettingsError(message)
    chosen = dict(pair.split("=", 1) for pair in pairs)
    if unknown := sorted(chosen.keys() - set(variables())):
        message = f"--set {unknown[0]}: there is no such setting"
        raise SettingsError(message)
    if places := sorted(chosen.keys() & {*PLACES} - ({"PREFIX"} if one_object else set())):
        message = f"--set {places[0]}: SOURCE and TARGET say it"
        raise SettingsError(message)
    return chosen


def require_use(given: Iterable[str], *, from_s3: bool, to_s3: bool, writes: bool = True) -> None:
    """Refuse a setting that is given and would change nothing. The environment is the function's, and may hold any."""
    uses = dict.fromkeys(FOR_PROGRAMS, "programs that call read_s3_file")
    uses |= dict.fromkeys(FOR_LAMBDA, "the function in Lambda, which has a deadline")
    if not writes:
        uses |= dict.fromkeys(FOR_OUTPUTS, "outputs, and none is written")
    if not to_s3:
        uses |= dict.fromkeys(FOR_S3_TARGETS, "S3 targets")
    if not from_s3:
        uses |= dict.fromkeys(FOR_S3, "S3, SOURCE is a file")
    if useless := sorted(uses.keys() & given):
        message = f"--set {useless[0]}: it is for {uses[useless[0]]}"
        raise SettingsError(message)


def settings_of(call: Call, chosen: Mapping[str, str], **places: str) -> Settings:
    """Return the environment's settings, those given on the command line over them, and the places over all."""
    mapping = {**call.environment, **places, **chosen}
    settings = Settings.from_mapping(mapping, lambda url: _fetch(url, expected_owners(mapping)))
    for warning in settings.warnings:
        call.screen.say(f"warning: {warning}")
    return settings


def _fetch(url: str, owners: Mapping[str, str]) -> bytes:
    from csv_transcode.s3.fetch import fetch  # noqa: PLC0415 -- the S3 client, which files do not need

    return fetch(url, COLUMN_TYPES_BYTES_MAX, owners)

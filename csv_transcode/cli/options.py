"""What verbs have in common on the command line: places, settings, and how they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from csv_transcode.errors import SettingsError
from csv_transcode.settings import COLUMN_TYPES_BYTES_MAX, Settings, expected_owners, variables

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from csv_transcode.cli.call import Call

NOWHERE: Final = "local-files"  # a bucket's name, which Settings wants and local files do not use
PLACES: Final = ("INPUT_BUCKET", "OUTPUT_BUCKET", "PREFIX", "OUTPUT_PREFIX")  # what SOURCE and TARGET say
FOR_PROGRAMS: Final = ("CACHE_SIZE",)
FOR_LAMBDA: Final = ("DEADLINE_MARGIN_SECONDS",)
FOR_S3_TARGETS: Final = (
    *("KEY_TEMPLATE", "MAX_WORKERS", "USE_WRANGLER", "LOG_LEVEL", "SOURCE_SUFFIXES", "MEMORY_BUDGET_MB"),
    *("EXPECTED_OUTPUT_BUCKET_OWNER", "OUTPUT_KMS_KEY_ID"),
)
FOR_S3: Final = (
    *("RETRIES_MAX", "RETRY_BUDGET", "CONNECT_TIMEOUT_SECONDS", "READ_TIMEOUT_SECONDS", "PART_BYTES_MAX"),
    "EXPECTED_INPUT_BUCKET_OWNER",
)

DESCRIPTION: Final = "CSV becomes Parquet and Avro, exactly: no value is changed, no record is lost without a word."


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb takes."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting; may be repeated")
    parser.add_argument("--quiet", action="store_true", help="no progress, only errors")


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


def require_use(given: Iterable[str], *, from_s3: bool, to_s3: bool) -> None:
    """Refuse a setting that is given and would change nothing. The environment is the function's, and may hold any."""
    uses = dict.fromkeys(FOR_PROGRAMS, "programs that call read_s3_file")
    uses |= dict.fromkeys(FOR_LAMBDA, "the function in Lambda, which has a deadline")
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

"""``plan``: what a conversion of a prefix, or of some keys, would do, and how long it might take."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.convert import converted
from csv_transcode.cli.options import add_common, add_places, asked_of
from csv_transcode.cli.screen import MEGABYTE, duration, shown, table
from csv_transcode.errors import SettingsError
from csv_transcode.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csv_transcode.cli.call import Call
    from csv_transcode.report import RunReport
    from csv_transcode.settings import Settings

MB_A_SECOND: Final = 45.0  # of one machine with two cores, from S3 to both outputs: performance_comparison.md
OBJECT_SECONDS: Final = 0.25  # five requests one after the other, as S3 answers from the same region
SHOWN_MAX: Final = 50

DESCRIPTION: Final = """\
Say what ``convert`` would do with these places: which objects it would convert, which it would skip and why, and about
how long this machine would need. Each object costs two requests; nothing is written, and no source is read.
"""
EPILOG: Final = f"""\
examples
  python -m csv_transcode plan s3://landing/in/ s3://lake/processed/
      everything under the prefix
  python -m csv_transcode plan s3://landing/in/2026/day.csv s3://lake/processed/ --set PREFIX=in/
      one object, where the function's PREFIX is in/
  python -m csv_transcode plan s3://landing/in/ s3://lake/processed/ --keys keys.txt
      the keys in a file, one a line
  python -m csv_transcode plan s3://landing/in/ s3://lake/processed/ --json | jq .seconds

The estimate takes {MB_A_SECOND:g} MB/s (--rate) for bytes, and {OBJECT_SECONDS:g} s an object, MAX_WORKERS at a time.

exit codes
  0  the plan stands                 1    something cannot be planned: it failed, standard error says what
  2  the command or a setting is     130  interrupted
     wrong                           141  nobody reads standard output any more
"""


def register(verbs: Any) -> None:  # noqa: ANN401 -- argparse gives its type no public name
    """Add this verb's parser."""
    parser = verbs.add_parser(
        "plan",
        help="what would be converted, what skipped and why, and for how long; nothing is written",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_places(parser)
    parser.add_argument("--force", action="store_true", help="as if what stands converted were converted, too")
    parser.add_argument("--all", action="store_true", help=f"list every object, not only the first {SHOWN_MAX}")
    parser.add_argument(
        "--rate", type=float, default=MB_A_SECOND, metavar="MB/S", help="megabytes of source that are done in a second"
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """Plan, and say so."""
    options, screen = call.options, call.screen
    if options.rate <= 0:
        message = f"--rate {options.rate:g}: megabytes a second, more than 0"
        raise SettingsError(message)
    asked = asked_of(call)
    report = converted(asked, call, force=options.force, dry_run=True, on_result=_Counted(call).seen)
    screen.clear()
    seconds = _seconds(report, asked.settings, options.rate)
    if options.json:
        screen.print_json(_described(report, seconds))
    else:
        for line in _lines(report, seconds, shown_max=None if options.all else SHOWN_MAX):
            screen.print(line)
    if not report.results:
        screen.say(f"nothing to convert at {options.source}")
    for result in report.having(Outcome.FAILED):
        screen.result(result)
    return FAILED if report.having(Outcome.FAILED) else OK


class _Counted:
    """How many objects have been looked at, on the moving line."""

    def __init__(self, call: Call) -> None:
        self._screen = call.screen
        self._count = 0

    def seen(self, _result: object) -> None:
        self._count += 1
        if self._screen.moves and self._count % 20 == 0:
            self._screen.move(f"{self._count:,} objects looked at")


def _seconds(report: RunReport, settings: Settings, rate: float) -> float:
    planned = report.having(Outcome.PLANNED)
    at_once = min(settings.max_workers, len(planned)) or 1
    megabytes = sum(result.bytes_read for result in planned) / MEGABYTE
    return megabytes / rate + len(planned) * OBJECT_SECONDS / at_once


def _skips(report: RunReport) -> Counter[str]:
    """Return how many objects are skipped for each reason."""
    return Counter(result.reason or "" for result in report.having(Outcome.SKIPPED))


def _described(report: RunReport, seconds: float) -> dict[str, Any]:
    planned = report.having(Outcome.PLANNED)
    return {
        "objects": {
            outcome.value: len(report.having(outcome)) for outcome in (Outcome.PLANNED, Outcome.SKIPPED, Outcome.FAILED)
        },
        "bytes": sum(result.bytes_read for result in planned),
        "seconds": round(seconds, 1),
        "skipped": dict(_skips(report)),
        "results": [
            {"key": result.key, "outcome": result.outcome.value}
            | ({"bytes": result.bytes_read} if result.outcome is Outcome.PLANNED else {"reason": result.reason})
            for result in report.results
        ],
    }


def _lines(report: RunReport, seconds: float, *, shown_max: int | None) -> Iterator[str]:
    planned = report.having(Outcome.PLANNED)
    rows = [(f"{result.bytes_read:,}", result.key) for result in planned[:shown_max]]
    width = max(len(size) for size, _ in [("bytes", ""), *rows])
    yield from table([("bytes".rjust(width), "would be converted"), *((size.rjust(width), key) for size, key in rows)])
    if len(planned) > len(rows):
        yield f"and {len(planned) - len(rows):,} more (--all lists them)"
    yield ""
    for reason, count in _skips(report).most_common():
        yield shown(f"{count:,} skipped: {reason}")
    megabytes = sum(result.bytes_read for result in planned) / MEGABYTE
    yield f"{len(planned):,} objects would be converted, {megabytes:,.1f} MB, in about {duration(seconds)}"

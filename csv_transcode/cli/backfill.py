"""``backfill``: convert everything under a prefix by many functions at once, and follow how far it is."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.backfill import asked_of_machine, execution_of, follow, machine_of, summary_of
from csv_transcode.backfill_plan import (
    MEGABYTE,
    Facility,
    Prices,
    Source,
    batch_items_for,
    described,
    estimated,
    planned,
)
from csv_transcode.cli.call import FAILED, INTERRUPTED, OK
from csv_transcode.cli.options import location
from csv_transcode.cli.screen import MOVING_SECONDS, PLAIN_SECONDS, duration, shown
from csv_transcode.cli.sources import store_of
from csv_transcode.errors import BackfillError, SettingsError
from csv_transcode.keys import SIDECARS
from csv_transcode.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from csv_transcode.aws.backfills import Backfills
    from csv_transcode.backfill import Counts, Execution, Machine
    from csv_transcode.backfill_plan import Estimate, Plan
    from csv_transcode.cli.call import Call

SAMPLE_OBJECTS: Final = 1000  # of a listing, one request: how large an object is on average
KILOBYTE: Final = 1000
GIGABYTE: Final = 1000 * MEGABYTE
CENT: Final = 0.01
NAME_BYTES: Final = 16  # of an execution's name, at random

DESCRIPTION: Final = """\
Convert everything under a prefix, or of an S3 Inventory, by many functions at once: start the state machine of
infra/template.yaml, follow it, and say what came of it. What stands converted is skipped, so the same command again
does what is left. infra_setup.md, Backfills, lists the permissions that it takes.
"""
EPILOG: Final = """\
examples
  python -m csv_transcode backfill s3://landing/in/2026/ --stack csv-transcode --dry-run
      how many objects and bytes, about how many minutes and dollars; nothing is started, only listed
  python -m csv_transcode backfill s3://landing/in/2026/ --stack csv-transcode
      start it and follow it to its end
  python -m csv_transcode backfill --inventory s3://lists/landing/all/2026-11-22/manifest.json --stack csv-transcode
      a million objects and more, as S3 Inventory lists them
  python -m csv_transcode backfill --follow EXECUTION
      go on following after Ctrl-C, which only ends the following
  python -m csv_transcode backfill --stop EXECUTION
      end it; what is converted stands

exit codes
  0  all is converted, or stood so   1    something failed or was deferred, or the backfill did not come to its end
  2  the command is wrong            130  interrupted: the backfill goes on
                                     141  nobody reads standard output any more
"""


def register(verbs: Any) -> None:  # noqa: ANN401 -- argparse gives its type no public name
    """Add this verb's parser."""
    parser = verbs.add_parser(
        "backfill",
        help="everything under a prefix by many functions at once: plan, start, follow, stop",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="SOURCE", nargs="?", help="s3://bucket/prefix/, of the function's INPUT_BUCKET"
    )
    parser.add_argument("--inventory", metavar="URL", help="instead: s3://.../manifest.json of an S3 Inventory in CSV")
    parser.add_argument("--follow", metavar="EXECUTION", help="instead: follow an execution that runs, by its ARN")
    parser.add_argument("--stop", metavar="EXECUTION", help="instead: end an execution that runs")
    parser.add_argument("--stack", metavar="NAME", help="the stack of infra/template.yaml whose state machine it is")
    parser.add_argument("--state-machine", metavar="ARN", help="the state machine itself, instead of --stack")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do, take and cost; start nothing")
    parser.add_argument("--concurrency", type=int, metavar="N", help="functions at once (default: the stack's)")
    parser.add_argument(
        "--batch", type=int, metavar="N", help="objects a function gets at once (default: by their size)"
    )
    parser.add_argument(
        "--detach", action="store_true", help="start it, do not follow it, and write its ARN to standard output"
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output, for programs")
    parser.add_argument("--quiet", action="store_true", help="no progress, only errors")
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """Do what the options ask for."""
    from csv_transcode.aws.backfills import Backfills  # noqa: PLC0415 -- the SDK, which other verbs may not need

    return backfill(call, Backfills())


def backfill(call: Call, service: Backfills) -> int:
    """Plan, start, follow or stop, as the options say."""
    options = call.options
    _require_sense(options)
    if options.stop:
        service.stop(options.stop)
        call.screen.say(f"stopped {options.stop}: what is converted stands, and the same backfill again does the rest")
        return OK
    if options.follow:
        return _followed(call, service, options.follow)
    machine = machine_of(service, options.state_machine or service.state_machine_of(options.stack))
    if options.dry_run:
        return _planned(call, machine)
    asked, name = _asked(call, machine), call.runtime.token(NAME_BYTES)
    try:
        arn = service.start(machine.arn, asked, name)
    except KeyboardInterrupt:
        return _interrupted(call, execution_of(machine.arn, name), "the backfill may have started")
    call.screen.say(f"started {arn}")
    if not options.detach:
        return _followed(call, service, arn)
    if options.json:
        call.screen.print_json({"execution": arn})
    else:
        call.screen.print(arn)
    return OK


def _interrupted(call: Call, arn: str, what: str) -> int:
    """Say that Ctrl-C has ended the command, and nothing else; return the exit code."""
    call.screen.clear()
    call.screen.say(
        f"interrupted: {what}\n"
        f"  follow it:  python -m csv_transcode backfill --follow {arn}\n"
        f"  stop it:    python -m csv_transcode backfill --stop {arn}"
    )
    if call.options.json:
        call.screen.print_json({"execution": arn, "error": f"interrupted: {what}"})
    return INTERRUPTED


def _require_sense(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    places = {"SOURCE": options.source, "--inventory": options.inventory}
    named = [name for name, value in (places | {"--follow": options.follow, "--stop": options.stop}).items() if value]
    if len(named) != 1:
        message = f"one of SOURCE, --inventory, --follow and --stop, found {' and '.join(named) or 'none'}"
        raise SettingsError(message)
    if named[0] in places and bool(options.stack) == bool(options.state_machine):
        message = "--stack or --state-machine says which state machine, and one of them must"
        raise SettingsError(message)
    if options.dry_run and options.source is None:
        message = "--dry-run counts what it lists, so it wants SOURCE: the prefix that the Inventory is of"
        raise SettingsError(message)
    for name in ("concurrency", "batch"):
        if (value := getattr(options, name)) is not None and value < 1:
            message = f"--{name} {value}: at least 1"
            raise SettingsError(message)


def _asked(call: Call, machine: Machine) -> str:
    """Return the state machine's input."""
    options = call.options
    if options.inventory:
        bucket, key = _s3_place(options.inventory, "--inventory")
        return asked_of_machine(inventory=(bucket, key), max_concurrency=options.concurrency, batch_items=options.batch)
    settings = _settings(machine)
    prefix = _prefix(options.source, settings)
    sizes = [source.size for source in islice(_sources(call, settings, prefix), SAMPLE_OBJECTS)]
    if not sizes:
        message = "nothing lies under it"
        raise BackfillError(message)
    items = options.batch or batch_items_for(sum(sizes) / len(sizes), _facility(call, machine, settings))
    return asked_of_machine(prefix=prefix, max_concurrency=options.concurrency, batch_items=items)


def _settings(machine: Machine) -> Settings:
    """Return the function's own settings; what COLUMN_TYPES may name in S3 is not asked for."""
    return Settings.from_mapping(machine.function.environment, lambda _: b"{}")


def _facility(call: Call, machine: Machine, settings: Settings) -> Facility:
    function = machine.function
    return Facility(
        function.memory_mb,
        function.timeout_seconds,
        function.architecture,
        call.options.concurrency or machine.max_concurrency,
        settings.max_workers,
    )


def _s3_place(text: str, what: str) -> tuple[str, str]:
    place = location(text)
    if not isinstance(place, tuple) or not place[0]:
        message = f"{what} {text}: expected s3://bucket/..."
        raise SettingsError(message)
    return place


def _prefix(source: str, settings: Settings) -> str:
    """Return the prefix that SOURCE is; it must lie within what the function converts."""
    bucket, prefix = _s3_place(source, "SOURCE")
    if bucket != settings.input_bucket or not prefix.startswith(settings.prefix):
        message = (
            f"SOURCE {source}: this function converts what lies under s3://{settings.input_bucket}/{settings.prefix}"
        )
        raise SettingsError(message)
    return prefix


def _sources(call: Call, settings: Settings, prefix: str) -> Iterator[Source]:
    listing = store_of(settings, call.runtime).list_objects(settings.input_bucket, prefix)
    return (Source(found.key, found.size, found.last_modified, found.is_archived) for found in listing)


# ---------------------------------------------------------------------- beforehand


def _planned(call: Call, machine: Machine) -> int:
    """List sources and manifests, and say what would be done."""
    options, screen = call.options, call.screen
    settings = _settings(machine)
    prefix = _prefix(options.source, settings)
    folder, suffix = SIDECARS["manifest"]
    beside = f"{settings.output_prefix}{folder}{prefix[len(settings.prefix) :]}"
    listing = store_of(settings, call.runtime).list_objects(settings.output_bucket, beside)
    manifests = {found.key: found.last_modified for found in listing if found.key.endswith(suffix)}
    plan = planned(_sources(call, settings, prefix), manifests, settings.key_map)
    facility, prices = _facility(call, machine, settings), Prices()
    estimate = estimated(plan, facility, prices, options.batch)
    if options.json:
        screen.print_json(described(plan, estimate, facility, prices))
    else:
        for line in _plan_lines(plan, estimate, facility, prices):
            screen.print(shown(line))
    return OK


def _plan_lines(plan: Plan, estimate: Estimate, facility: Facility, prices: Prices) -> Iterator[str]:
    largest = f", the largest {_size(plan.largest_bytes)}" if plan.objects > 1 else ""
    yield f"{_count(plan.objects, 'object')} to convert, {_size(plan.bytes)}{largest}"
    if plan.standing:
        yield f"{plan.standing:,} seem converted: their manifest is no older; the function makes sure, by two requests"
    for reason, count in plan.skipped.most_common():
        yield f"{count:,} skipped: {reason}"
    batches = f"{_count(estimate.batches, 'batch', 'batches')} of at most {_count(estimate.batch_items, 'object')}"
    yield ""
    yield f"about {duration(estimate.seconds)}: {batches}, {_count(estimate.concurrency, 'function')} at once"
    parts = ", ".join(f"{_PAID[name]} {_dollars(value)}" for name, value in estimate.dollars.items())
    about = "about " if estimate.dollars_total >= CENT else ""
    yield f"{about}{_dollars(estimate.dollars_total)}: {parts}"
    yield ""
    yield (
        f"assuming {facility.megabytes_a_second:.0f} MB/s and {facility.seconds_of(0):.3f} s an object in a function "
        f"of {facility.memory_mb:,} MB ({facility.architecture}, {facility.timeout_seconds} s), and prices of "
        f"{prices.region} read on {prices.read_on}, without free tier, retries, logs, KMS and storage"
    )


_PAID: Final[Mapping[str, str]] = {"lambda": "Lambda", "step_functions": "Step Functions", "s3_requests": "S3 requests"}


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _size(count: int) -> str:
    if count < MEGABYTE:
        return f"{count / KILOBYTE:,.1f} kB"
    return f"{count / GIGABYTE:,.1f} GB" if count >= GIGABYTE else f"{count / MEGABYTE:,.1f} MB"


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= CENT else "under $0.01"


# ---------------------------------------------------------------------- while it runs


def _followed(call: Call, service: Backfills, arn: str) -> int:
    """Follow an execution to its end, and say what came of it."""
    progress = _Progress(call)
    try:
        execution = follow(service, arn, call.runtime, progress.tell)
    except KeyboardInterrupt:
        return _interrupted(call, arn, "the backfill goes on")
    except BackfillError as error:
        message = f"{error}; nothing has ended the backfill by that: backfill --follow {arn} looks again"
        raise BackfillError(message) from error
    finally:
        call.screen.clear()
    return _told(call, execution)


class _Progress:
    """How far the map is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, call: Call) -> None:
        self._screen = call.screen
        self._clock = call.runtime.clock
        self._next = self._clock() + (0.0 if self._screen.moves else PLAIN_SECONDS)
        self._first: tuple[int, float] | None = None  # what was done, and when, as it was first heard of

    def tell(self, counts: Counts, seconds: float) -> None:
        if counts.total and self._first is None:
            self._first = counts.done, seconds
        now = self._clock()
        if now >= self._next:
            self._next = now + (MOVING_SECONDS if self._screen.moves else PLAIN_SECONDS)
            self._screen.move(self._line(counts, seconds))

    def _line(self, counts: Counts, seconds: float) -> str:
        if not counts.total:
            return f"being listed, {duration(seconds)} by now"
        share = counts.done / counts.total
        bar = f"{self._screen.bar(share)} " if self._screen.moves else ""
        left = self._left(counts, seconds)
        failed = f", {counts.failed:,} in batches that failed" if counts.failed else ""
        return f"{bar}{share:4.0%} of {counts.total:,} objects{left}, {counts.running:,} under way{failed}"

    def _left(self, counts: Counts, seconds: float) -> str:
        """Say how long the rest takes at the rate seen since the first look, which may have been in its middle."""
        done, since = self._first or (0, 0.0)
        if counts.done <= done:
            return ""
        return f", {duration((counts.total - counts.done) * (seconds - since) / (counts.done - done))} left"


def _told(call: Call, execution: Execution) -> int:
    """Say what came of an execution that has ended; return the exit code."""
    summary, screen = summary_of(execution), call.screen
    if call.options.json:
        screen.print_json({"execution": execution.arn} | summary)
    else:
        for line in _summary_lines(summary, execution.seconds):
            screen.print(line)
    return FAILED if summary["files"]["failed"] or summary["files"]["deferred"] else OK


def _summary_lines(summary: dict[str, Any], seconds: float | None) -> Iterator[str]:
    for result in summary.get("results", ()):
        yield shown(f"{result['outcome']}: {result['key']}: {result['reason']}")
    if cut := summary.get("results_cut"):
        where = f"; all batches' results: {summary['exported_to']}" if "exported_to" in summary else ""
        yield shown(f"and {cut:,} more that failed or were deferred{where}")
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in summary["files"].items())
    took = "" if seconds is None else f" in {duration(seconds)}"
    records = summary.get("records", {})
    yield f"{counts}; {records.get('written', 0):,} records written, {records.get('rejected', 0):,} rejected{took}"

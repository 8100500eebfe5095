"""``failed``: which files have failed, why, and what has come of them since; and to convert them again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.convert import converted, whole
from csv_transcode.cli.failures import STANDING, failed_keys, failure_of
from csv_transcode.cli.options import add_common, add_places, asked_of
from csv_transcode.cli.screen import shown
from csv_transcode.cli.sources import store_of
from csv_transcode.cli.troubles import Troubles
from csv_transcode.report import Outcome

if TYPE_CHECKING:
    from csv_transcode.cli.call import Call
    from csv_transcode.cli.options import Asked

DESCRIPTION: Final = """\
List what stands under _failed/ in the output bucket: which files have failed, and why. A record says what was so when
it was written, so the source and its manifest are asked, too:

  failed     nothing has changed since              changed    the source has, and is not converted
  converted  it is converted by now                 gone       the source is

Records are not taken away: the program has no permission to delete anything, in any bucket, and a record of what is
converted by now does no harm. A lifecycle rule can expire _failed/.
"""
EPILOG: Final = """\
examples
  python -m csv_transcode failed s3://landing/in/ s3://lake/processed/
      what has failed of the sources under the prefix
  python -m csv_transcode failed s3://landing/in/ s3://lake/processed/ --retry --set MAX_REJECTED_RATIO=0.5
      convert those that are failed or changed again, here, with other settings
  python -m csv_transcode failed s3://landing/in/ s3://lake/processed/ --json
      a line of JSON for each; with --retry the report of the conversions

exit codes
  0  nothing stands as failed        1    something does, has failed again (--retry), or cannot be read
  2  the command or a setting is     130  interrupted: nothing is left half done
     wrong                           141  nobody reads standard output any more
"""


def register(verbs: Any) -> None:  # noqa: ANN401 -- argparse gives its type no public name
    """Add this verb's parser."""
    parser = verbs.add_parser(
        "failed",
        help="which files have failed and why; --retry converts them again",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_places(parser)
    parser.add_argument("--retry", action="store_true", help="convert those that are failed or changed again")
    add_common(parser)
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """List, or try again."""
    options, screen, asked = call.options, call.screen, asked_of(call)
    troubles = Troubles(call, lines=options.json and not options.retry)
    standing: list[str] = []
    count = 0
    store = store_of(asked.settings, call.runtime)
    for key in failed_keys(asked, store):
        failure = None
        with troubles.of(key):
            failure = failure_of(key, asked, store)
        if failure is None:
            continue
        count += 1
        standing += [key] if failure.state in STANDING else []
        if options.json and not options.retry:
            screen.print_json(failure.to_dict(), indent=None)
        elif not options.retry:
            screen.print(shown(f"{failure.state}: {key}: {failure.reason}"))
    screen.say(
        f"{count:,} recorded, {len(standing):,} of them stand as failed or changed"
        + ("" if count else f": {options.source}")
    )
    if not options.retry:
        return FAILED if standing or troubles.keys else OK
    return max(_tried_again(replace(asked, keys=tuple(standing)), call), FAILED if troubles.keys else OK)


def _tried_again(asked: Asked, call: Call) -> int:
    report = converted(asked, call)
    call.screen.summary(report, call.options.source)
    if call.options.json:
        call.screen.print_json(whole(report))
    return FAILED if report.having(Outcome.FAILED) else OK

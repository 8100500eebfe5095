"""``failed``: which files have failed, why, and what has come of them since; and to convert them again."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.convert import converted, whole
from csv_transcode.cli.failures import STANDING, failures
from csv_transcode.cli.options import add_common, add_places, asked_of
from csv_transcode.cli.screen import shown
from csv_transcode.cli.sources import store_of
from csv_transcode.report import Outcome

if TYPE_CHECKING:
    from csv_transcode.cli.call import Call

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
  0  nothing stands as failed        1    something does, or (--retry) has failed again
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
    asked = asked_of(call)
    standing: list[str] = []
    count = 0
    for failure in failures(asked, store_of(asked.settings, call.runtime)):
        count += 1
        standing += [failure.key] if failure.state in STANDING else []
        if call.options.retry:
            continue
        if call.options.json:
            call.screen.print_json(failure.to_dict(), indent=None)
        else:
            call.screen.print(shown(f"{failure.state}: {failure.key}: {failure.reason}"))
    call.screen.say(f"{count:,} recorded, {len(standing):,} of them stand as failed or changed")
    if not call.options.retry:
        return FAILED if standing else OK
    report = converted(replace(asked, keys=tuple(standing)), call)
    call.screen.summary(report)
    if call.options.json:
        call.screen.print_json(whole(report))
    return FAILED if report.having(Outcome.FAILED) else OK

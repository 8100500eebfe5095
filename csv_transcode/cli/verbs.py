"""The verbs, their common parser, and what becomes of their errors.

A verb is a module with a function ``register(verbs)``: it adds a parser to ``verbs``, and names what does the work by
``set_defaults(run=...)``, a function from a ``Call`` to an exit code. It raises what it likes of ``errors.py``; what a
person sees of that is decided here.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from csv_transcode import __version__
from csv_transcode.cli import backfill, convert, failed, plan, rejects, schema, verify
from csv_transcode.cli.call import FAILED, INTERRUPTED, MISUSED, UNREAD, Call
from csv_transcode.cli.options import DESCRIPTION
from csv_transcode.cli.screen import OutputClosedError, Screen, shown
from csv_transcode.errors import SettingsError, TranscodeError
from csv_transcode.formats.memory import use_lean_allocators
from csv_transcode.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERBS: Final = (schema, plan, convert, verify, rejects, failed, backfill)
TAKEN_BACK: Final = "interrupted: what was not finished has been taken back"
EPILOG: Final = """\
examples
  python -m csv_transcode schema day.csv
      which columns and types it would become, and why; nothing is written
  python -m csv_transcode convert day.csv out/
      day.csv -> out/day.parquet and out/day.avro
  python -m csv_transcode verify day.csv out/day.parquet out/day.avro
      every cell of both, held against the source
  python -m csv_transcode convert --help
      each verb has examples, and its exit codes, of its own

exit codes
  0  done, and nothing is wrong     1    something is wrong, standard error says what
  2  the command or a setting is    130  interrupted: nothing is left half done
     wrong                          141  nobody reads standard output any more
"""


def run(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> int:
    """Run the command line with these arguments (None: the process's own); return its exit code."""
    options, runtime = parser().parse_args(arguments), Runtime()
    screen = Screen(quiet=options.quiet, runtime=runtime)
    use_lean_allocators()
    try:
        code: int = options.run(Call(options, environment, screen, runtime))
    except SettingsError as error:
        return _ended(screen, options, str(error), MISUSED)
    except TranscodeError as error:
        return _ended(screen, options, shown(f"{_subject(options)}{error}"), FAILED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else _subject(options)
        return _ended(screen, options, shown(f"{where}{error.strerror or error}"), FAILED)
    except KeyboardInterrupt:
        return _ended(screen, options, TAKEN_BACK, INTERRUPTED)
    except OutputClosedError:
        return UNREAD
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(
        "python -m csv_transcode", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw
    )
    made.add_argument("--version", action="version", version=__version__)
    verbs = made.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb in VERBS:
        verb.register(verbs)
    return made


def _ended(screen: Screen, options: argparse.Namespace, why: str, code: int) -> int:
    """Say why nothing came of the call, to a program too; return its exit code."""
    screen.say(why if code == INTERRUPTED else f"error: {why}")
    if options.json:
        with suppress(OutputClosedError):
            screen.print_json({"error": why})
    return code


def _subject(options: argparse.Namespace) -> str:
    """Return what the beginning of an error says that it is about."""
    source = getattr(options, "source", None)  # not every verb has one
    return f"{source}: " if source else ""

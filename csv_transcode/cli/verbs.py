"""The verbs, their common parser, and what becomes of their errors.

A verb is a module with a function ``register(verbs)``: it adds a parser to ``verbs``, and names what does the work by
``set_defaults(run=...)``, a function from a ``Call`` to an exit code. It raises what it likes of ``errors.py``; what a
person sees of that is decided here.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from csv_transcode import __version__
from csv_transcode.cli import convert
from csv_transcode.cli.call import FAILED, INTERRUPTED, MISUSED, Call
from csv_transcode.cli.options import DESCRIPTION
from csv_transcode.cli.screen import Screen
from csv_transcode.errors import SettingsError, TranscodeError
from csv_transcode.formats.memory import use_lean_allocators
from csv_transcode.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERBS: Final = (convert,)


def run(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> int:
    """Run the command line with these arguments (None: the process's own); return its exit code."""
    options = parser().parse_args(arguments)
    screen = Screen(quiet=options.quiet)
    use_lean_allocators()
    try:
        code: int = options.run(Call(options, environment, screen, Runtime()))
    except SettingsError as error:
        screen.say(f"error: {error}")
        return MISUSED
    except TranscodeError as error:
        screen.say(f"error: {_subject(options)}{error}")
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else _subject(options)
        screen.say(f"error: {where}{error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        screen.say("interrupted: what was not finished has been taken back")
        return INTERRUPTED
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser("python -m csv_transcode", description=DESCRIPTION, formatter_class=raw)
    made.add_argument("--version", action="version", version=__version__)
    verbs = made.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb in VERBS:
        verb.register(verbs)
    return made


def _subject(options: argparse.Namespace) -> str:
    """Return what the beginning of an error says that it is about."""
    source = getattr(options, "source", None)  # not every verb has one
    return f"{source}: " if source else ""

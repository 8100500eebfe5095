"""One call of the command line: what was asked for, and the world that it is asked in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from csv_transcode.cli.screen import Screen
    from csv_transcode.runtime import Runtime

# How a call ends: its exit code.
OK: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130  # as shells have it: 128 and the signal's number
UNREAD: Final = 141


class Call(Struct, frozen=True):
    """What a verb gets: the options of its own parser, the environment's variables, a screen, clock and threads."""

    options: argparse.Namespace
    environment: Mapping[str, str]
    screen: Screen
    runtime: Runtime

"""The command line's door, ``python -m csv_transcode VERB ...``: the verbs are in ``csv_transcode/cli/``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from csv_transcode.cli.verbs import run

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    return run(arguments, os.environ)


if __name__ == "__main__":
    sys.exit(main())

"""One target under atheris, in a process of its own: ``python -m fuzz.guided TARGET COUNTS [libFuzzer's options]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["csv_transcode.decode"]):
    from fuzz.targets import TARGETS, counts

WRITTEN_EVERY: Final = 100  # inputs


def main() -> None:
    """Fuzz one target until libFuzzer has had enough; it ends the process, so that the counts are written before."""
    name, path, *options = sys.argv[1:]
    target, written = TARGETS[name], Path(path)

    def one_input(data: bytes) -> None:
        counts["inputs"] += 1
        if counts["inputs"] % WRITTEN_EVERY == 1:
            written.write_text(json.dumps(counts), encoding="utf-8")
        target(data)

    atheris.Setup([sys.argv[0], *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

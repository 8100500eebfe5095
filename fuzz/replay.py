"""Every kept input again and again, without atheris: ``python -m fuzz.replay TARGET FOLDER SECONDS`` prints memory.

atheris itself keeps some 35 kB an input, for all three targets alike, so its own process cannot show whether the
product keeps anything.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from fuzz.targets import TARGETS

MB: Final = 1 << 20
ROUNDS_MIN: Final = 3


def main() -> None:
    """Print the process's memory in MB after each round."""
    name, folder, seconds = sys.argv[1:]
    inputs = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    ends = time.monotonic() + float(seconds)
    rss: list[int] = []
    while len(rss) < ROUNDS_MIN or time.monotonic() < ends:
        for data in inputs:
            TARGETS[name](data)
        rss.append(_rss())
    print(json.dumps({"inputs": len(rss) * len(inputs), "rss_mb": rss}))


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // MB


if __name__ == "__main__":
    main()

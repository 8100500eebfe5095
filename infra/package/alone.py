"""Run the package from its folders and Python's own library alone. Not imported: a program for ``python -I -S -B``.

    python -I -S -B alone.py RUNTIME_FOLDERS PACKAGE_FOLDERS handler HANDLER EVENT_JSON
    python -I -S -B alone.py RUNTIME_FOLDERS PACKAGE_FOLDERS module NAME [ARGUMENT ...]

``module`` runs a module as a program. ``handler`` calls a handler once and prints, as its last line, a JSON object: the
answer or the error, the seconds, and of everything that was imported what came from elsewhere, and what was compiled
just now. Folders are joined by ``:``; those of the runtime come last, as Lambda's own do.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any


class Context:
    """What Lambda gives a handler beside the event, as far as this one looks at it."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"
    function_name = "package-check"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:package-check"
    memory_limit_in_mb = "2048"

    def get_remaining_time_in_millis(self) -> int:
        """Return what any conversion here has time for."""
        return 120_000


def main(runtime: str, package: str, kind: str, name: str, *arguments: str) -> None:
    """Run one module, or one handler once."""
    library = list(sys.path)
    folders = package.split(":")
    sys.path[:] = [*folders, *library, *filter(None, runtime.split(":"))]
    if kind == "module":
        sys.argv = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    told = _called(name, json.loads(arguments[0]))
    print(json.dumps(told | _imported(folders, library)))


def _called(name: str, event: object) -> dict[str, Any]:
    module, _, function = name.rpartition(".")
    started = time.perf_counter()
    try:
        answer = getattr(importlib.import_module(module), function)(event, Context())
    except Exception as error:  # noqa: BLE001 - whatever it is, the checker shall read it
        return {"error": f"{type(error).__name__}: {error}"}
    return {"answer": answer, "seconds": time.perf_counter() - started}


def _imported(folders: list[str], library: list[str]) -> dict[str, list[str]]:
    """Return which modules came from neither the package nor Python's library, and which had no byte code there."""
    foreign, uncompiled = [], []
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is None or not spec.has_location or not spec.origin:
            continue
        if not spec.origin.startswith(tuple(f"{folder}/" for folder in folders)):
            foreign += [] if spec.origin.startswith(tuple(f"{folder}/" for folder in library)) else [name]
        elif spec.cached and not Path(spec.cached).is_file():
            uncompiled.append(name)
    return {"foreign": foreign, "uncompiled": uncompiled}


if __name__ == "__main__":
    main(*sys.argv[1:])

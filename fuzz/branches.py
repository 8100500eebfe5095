"""Which branches of ``csv_transcode/decode`` are reached: steps from line to line, as the interpreter tells them."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from csv_transcode import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

FOLDER: Final = str(Path(decode.__file__).parent)
# Where records are found, judged and cast: none of these may go without a branch.
REQUIRED: Final = (
    *("arrow_csv", "casts", "compression", "dialect_detection", "encoding", "inference", "plain", "reader"),
    *("records", "sift", "strict", "walk"),
)


class Branches:
    """Counts branches while ``traced``."""

    def __init__(self) -> None:
        self._steps: set[tuple[str, int, int]] = set()

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Count what the current thread reaches. Several times as slow as without."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def counts(self) -> Counter[str]:
        """Return how many branches have been reached, by module."""
        return Counter(Path(file).stem for file, _, _ in self._steps)

    def unreached(self) -> dict[str, list[int]]:
        """Return the lines of REQUIRED modules that have not been reached."""
        reached = {(file, line) for file, _, line in self._steps}
        files = {name: Path(FOLDER) / f"{name}.py" for name in REQUIRED}
        return {
            name: sorted(line for line in _lines(file) if (str(file), line) not in reached)
            for name, file in files.items()
        }

    def _called(self, frame: FrameType, _event: str, _arg: Any) -> Any:  # noqa: ANN401 -- as sys.settrace has it
        file = frame.f_code.co_filename
        if not file.startswith(FOLDER):
            return None
        steps, last = self._steps, frame.f_code.co_firstlineno

        def step(frame: FrameType, event: str, _arg: Any) -> Any:  # noqa: ANN401
            nonlocal last
            if event == "line":
                steps.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step


def _lines(file: Path) -> set[int]:
    """Return the lines inside functions of a module."""
    module = compile(file.read_text(encoding="utf-8"), str(file), "exec")
    return {
        line for code in _functions(module) for _, _, line in code.co_lines() if line and line > code.co_firstlineno
    }


def _functions(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if hasattr(inner, "co_lines"):
            if inner.co_flags & 2:  # CO_NEWLOCALS: a function, not a class
                yield inner
            yield from _functions(inner)

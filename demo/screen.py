"""What a person sees: a table that fills itself on a terminal, one line an event elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.watch import Arrival

    Show = Callable[[list[Arrival]], None]

console: Final = Console(highlight=False, soft_wrap=True)

COLUMNS: Final = ("key", "records", "CSV kB", "Parquet kB", "Avro kB", "sec", "MB/s", "cells equal")  # 80 wide
STYLES: Final = {"waiting": "dim", "converted": "cyan", "equal": "green", "refused": "red", "differs": "red"}


@contextmanager
def arrivals_table() -> Iterator[Show]:
    """Yield a function that shows the arrivals as they are now."""
    if not console.is_terminal:
        yield _Lines().show
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield lambda arrivals: live.update(_table(arrivals))


class _Lines:
    """One line when an arrival has been converted or refused, and one when it has been compared."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def show(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            line = (arrival.source.name, arrival.state)
            if arrival.done and line not in self._said:
                self._said.add(line)
                console.print(f"{arrival.state:9}", *_words(arrival), sep="  ", markup=False)


def _words(arrival: Arrival) -> Iterator[str]:
    cells = dict(_cells(arrival))
    yield cells.pop(COLUMNS[0])
    last = cells.pop(COLUMNS[-1])
    if arrival.cells_agreeing is not None:
        yield f"{last} cells"
    elif arrival.manifest is not None and arrival.difference is None:
        yield from (f"{title} {cell}" for title, cell in cells.items())
    else:
        yield str(arrival.refusal or arrival.difference)


def _table(arrivals: list[Arrival]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title in COLUMNS:
        text = title in (COLUMNS[0], COLUMNS[-1])
        table.add_column(title.replace(" kB", "\nkB"), justify="left" if text else "right", no_wrap=text)
    for arrival in arrivals:
        table.add_row(*(cell for _, cell in _cells(arrival)), style=STYLES.get(arrival.state, "yellow"))
    return table


def _cells(arrival: Arrival) -> Iterator[tuple[str, str]]:
    """Yield each column's title and this arrival's cell in it."""
    manifest = arrival.manifest or {"records": {}, "outputs": []}
    sizes = {output["format"]: output["bytes"] for output in manifest["outputs"]}
    source_bytes = len(arrival.source.data)
    yield from zip(
        COLUMNS,
        (
            arrival.source.name,
            _said(manifest["records"].get("written"), "{:,}"),
            _said(source_bytes, "{:,.0f}", 1e3),
            _said(sizes.get("parquet"), "{:,.0f}", 1e3),
            _said(sizes.get("avro"), "{:,.0f}", 1e3),
            _said(arrival.seconds, "{:.1f}"),
            _said(arrival.seconds and source_bytes / arrival.seconds, "{:.1f}", 1e6),
            _said(arrival.cells_agreeing, "{:,}") or arrival.state,
        ),
        strict=True,
    )


def _said(value: float | None, form: str, unit: float = 1) -> str:
    return "" if value is None else form.format(value / unit if unit > 1 else value)

"""What a person sees: a table that fills itself on a terminal, one line an event elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.watch import Arrival

    Show = Callable[[list[Arrival]], None]

console: Final = Console(highlight=False, soft_wrap=True)

COLUMNS: Final = ("key", "state", "records", "CSV", "Parquet", "Avro", "seconds", "MB/s", "cell by cell")
STYLES: Final = {"waiting": "dim", "converting": "yellow", "converted": "green", "refused": "red"}


@contextmanager
def arrivals_table() -> Iterator[Show]:
    """Yield a function that shows the arrivals as they are now."""
    if not console.is_terminal:
        yield _Lines().show
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield lambda arrivals: live.update(_table(arrivals))


class _Lines:
    """One line for every arrival and every state it comes to."""

    def __init__(self) -> None:
        self._said: set[tuple[str, ...]] = set()

    def show(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.done and (cells := _cells(arrival)) and cells not in self._said:
                self._said.add(cells)
                console.print(
                    "  ".join(f"{title} {cell}" for title, cell in zip(COLUMNS, cells, strict=True) if cell),
                    markup=False,
                )


def _table(arrivals: list[Arrival]) -> Table:
    table = Table(*COLUMNS[:2])
    for title in COLUMNS[2:-1]:
        table.add_column(title, justify="right")
    table.add_column(COLUMNS[-1])
    for arrival in arrivals:
        table.add_row(*_cells(arrival), style=STYLES.get(arrival.state, "yellow"))
    return table


def _cells(arrival: Arrival) -> tuple[str, ...]:
    manifest = arrival.manifest or {"records": {}, "outputs": []}
    sizes = {output["format"]: output["bytes"] for output in manifest["outputs"]}
    return (
        arrival.source.name,
        arrival.state,
        f"{manifest['records']['written']:,}" if arrival.manifest else "",
        _size(len(arrival.source.data)),
        _size(sizes.get("parquet")),
        _size(sizes.get("avro")),
        f"{arrival.seconds:.1f}" if arrival.seconds else "",
        f"{arrival.megabytes_per_second:.1f}" if arrival.manifest else "",
        arrival.refusal or arrival.compared or "",
    )


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"

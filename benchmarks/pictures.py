"""Pictures of what has been measured, as SVG: the same data give the same bytes, so a change in one is one of the data.

Each function draws one picture from plain figures and writes it. White behind everything, since a reader's page may be
dark; one colour, and it is for this program; every other engine is grey and named beside its bar or at its line's end.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # matplotlib takes a second to import: only who draws pays for it
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.measure import Spread

    Bars = Mapping[str, Spread | str]  # by engine; a text says why there is no bar
    Shown = Callable[[float], str]
    Points = Sequence[tuple[float, float]]

OURS: Final = "this program"

ACCENT: Final = "#0b6bcb"
INK: Final = "#24292f"
GREY: Final = "#a3a9b1"
GREYS: Final = ("#6e7781", "#8c959f", "#57606a", "#a3a9b1", "#424a53", "#b8bec5")
MARKERS: Final = ("s", "^", "D", "v", "P", "X")
STYLE: Final = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.0,
    "axes.titley": 1.0,  # where it is, and not looked for
    "figure.facecolor": "white",
    "font.size": 9.0,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text: it can be searched, and read aloud
    "svg.hashsalt": "performance",  # names of clip paths: without it they are chance's
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
UNDATED: Final = {"Date": None, "Creator": None}

WIDTH_INCHES: Final = 10.0
ROW_INCHES: Final = 0.26
PANEL_INCHES: Final = 0.42  # of a panel, beside its rows: its title
AXIS_INCHES: Final = 0.55  # figures below an axis, and what they are
NAMES_INCHES: Final = 2.0  # beside the axes: the longest name of an engine
LABEL_ROOM: Final = 0.08  # of an axis, for each panel in the row: the figure behind the longest bar
FLAME_INCHES: Final = 0.17  # of a frame
FLAME_CHARACTERS: Final = 200  # that fit into the whole width
FLAME_OWN: Final = ("csv_transcode", "s3_data_processor", "lambda_handler")
BOX_SHARE_LEAST: Final = 0.001
LABELS_APART: Final = 0.055  # of the height of the axes


def throughput(panels: Mapping[str, Bars], path: Path) -> None:
    """Draw MB/s by engine, a panel for each table, all on one axis; whiskers are least and greatest."""
    _small_multiples(panels, 2, path, "MB of CSV a second: median, least and greatest", _short)


def small_objects(speeds: Bars, path: Path) -> None:
    """Draw small objects a second by engine; whiskers are least and greatest."""
    with _drawing(path, AXIS_INCHES + ROW_INCHES * len(speeds)) as figure:
        axes = figure.subplots()
        _bars(axes, list(speeds), speeds, _short)
        _rows(axes, list(speeds))
        axes.set_xlim(0, _greatest([speeds]) * (1 + LABEL_ROOM))
        axes.set_xlabel("small objects a second: median, least and greatest")


def memory(
    lines: Mapping[str, Points], unfinished: Mapping[str, Sequence[float]], limit: tuple[str, float], path: Path
) -> None:
    """Draw peak MB against MB of source, a line for each engine; ``limit`` is a line's name and its MB.

    ``unfinished`` are the sizes at which an engine did not finish: crosses on the limit.
    """
    sizes = sorted(
        {size for points in lines.values() for size, _ in points} | {s for e in unfinished.values() for s in e}
    )
    with _drawing(path, 4.6) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 2.6)
        axes.axhline(limit[1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(limit[0], (sizes[0] / 1.2, limit[1]), (4, 3), textcoords="offset points", fontsize=8)
        _lines(axes, lines, {engine: f"{engine}, {points[-1][1]:,.0f}" for engine, points in lines.items()})
        for size, engines in _by_size(unfinished).items():
            axes.plot(size, limit[1], "x", color=INK, markersize=7, zorder=4)
            told = "did not finish: " + ",\n".join(engines)
            axes.annotate(told, (size, limit[1]), (6, 5), textcoords="offset points", fontsize=8, va="bottom")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("MB of CSV")
        axes.set_ylabel("peak MB, median")


def waterfall(rows: Mapping[str, Sequence[tuple[float, float]]], path: Path) -> None:
    """Draw when each row was at work, from the top: half-open spans, in seconds since the start."""
    with _drawing(path, AXIS_INCHES + ROW_INCHES * len(rows)) as figure:
        axes = figure.subplots()
        for row, spans in enumerate(rows.values()):
            bars = [(begin, end - begin) for begin, end in spans]
            axes.broken_barh(bars, (row - 0.36, 0.72), facecolor=ACCENT, edgecolor="white", linewidth=0.3)
        _rows(axes, list(rows))
        axes.set_xlim(left=0)
        axes.grid(axis="x", color=GREY, alpha=0.4, linewidth=0.5)
        axes.set_xlabel("seconds since the start")


def flame(stacks: Sequence[tuple[Sequence[str], float]], path: Path) -> None:
    """Draw CPU seconds by stack, the outermost frame on top: a box is as wide as what was spent in it and below."""
    boxes = _boxes(stacks)
    whole = sum(seconds for _, seconds in stacks)
    deepest = max(depth for depth, _, _, _ in boxes)
    with _drawing(path, AXIS_INCHES + FLAME_INCHES * (deepest + 1)) as figure:
        axes = figure.subplots()
        for depth, begin, width, name in boxes:
            if width < BOX_SHARE_LEAST * whole:
                continue
            own = name.startswith(FLAME_OWN)
            axes.barh(
                depth, width, left=begin, height=1.0, color=ACCENT if own else GREY, edgecolor="white", linewidth=0.4
            )
            shown = _fitting(name, width / whole)
            if shown:
                axes.annotate(
                    shown,
                    (begin, depth),
                    (2, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=6.5,
                    color="white" if own else INK,
                    in_layout=False,
                )
        axes.set_xlim(0, whole)
        axes.set_ylim(deepest + 0.5, -0.5)
        axes.set_yticks([])
        axes.set_xlabel("CPU seconds")


def _boxes(stacks: Sequence[tuple[Sequence[str], float]]) -> list[tuple[int, float, float, str]]:
    """Return (depth, begin, width, name) of every frame, siblings by width: stacks with the same frames share them."""
    boxes: list[tuple[int, float, float, str]] = []
    begin = 0.0
    seconds: dict[str, float] = {}
    for frames, spent in stacks:
        if frames:
            seconds[frames[0]] = seconds.get(frames[0], 0.0) + spent
    for name, width in sorted(seconds.items(), key=lambda one: (-one[1], one[0])):
        below = [(frames[1:], spent) for frames, spent in stacks if frames and frames[0] == name]
        boxes.append((0, begin, width, name))
        boxes += [(depth + 1, begin + at, inner, called) for depth, at, inner, called in _boxes(below)]
        begin += width
    return boxes


def _fitting(name: str, share: float) -> str:
    """Return as much of a frame's name, from its end, as its box has room for."""
    room = int(share * FLAME_CHARACTERS)
    short = ".".join(name.split(".")[-2:])
    return next((text for text in (short, short.rpartition(".")[2]) if len(text) <= room), "")


def cost(panels: Mapping[str, Bars], across: int, path: Path) -> None:
    """Draw dollars a TB by engine, a panel for each architecture and size of a function, ``across`` in a row."""
    _small_multiples(panels, across, path, "dollars a TB of CSV: median, least and greatest", _cents)


def _small_multiples(panels: Mapping[str, Bars], across: int, path: Path, what: str, shown: Shown) -> None:
    """Draw the same engines in every panel, on one axis; ``what`` is the axis."""
    engines = list(next(iter(panels.values())))
    down = -(-len(panels) // across)
    rows_inches = ROW_INCHES * len(engines)
    height = down * (PANEL_INCHES + rows_inches) + AXIS_INCHES
    with _drawing(path, height) as figure:
        figure.set_layout_engine("none")  # which measures every text several times; the room is known
        around = {
            "left": NAMES_INCHES / WIDTH_INCHES,
            "right": 0.995,
            "wspace": 0.05,
            "hspace": PANEL_INCHES / rows_inches,
        }
        around |= {"bottom": AXIS_INCHES / height, "top": 1 - PANEL_INCHES / height}
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False, gridspec_kw=around)
        for axes, (title, bars) in zip(grid.flat, panels.items(), strict=False):
            axes.set_title(title)
            axes.tick_params(axis="y", length=0)
            _bars(axes, engines, bars, shown)
        for axes in grid[:, 0]:
            _rows(axes, engines)
        grid[0, 0].set_xlim(0, _greatest(panels.values()) * (1 + LABEL_ROOM * across))
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes in grid.flat[: len(panels)][-across:]:
            axes.tick_params(labelbottom=True)
        figure.text(NAMES_INCHES / WIDTH_INCHES, 0.1 / height, what)


@contextmanager
def _drawing(path: Path, height_inches: float) -> Iterator[Figure]:
    """Give a figure; it is written to ``path`` when the block is left without an exception."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415  # and no pyplot, which keeps figures
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context():
        mpl.rcdefaults()  # whatever this machine's user likes
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasSVG(figure).print_svg(path, metadata=UNDATED)  # type: ignore[no-untyped-call]


def _bars(axes: Axes, engines: Sequence[str], bars: Bars, shown: Shown) -> None:
    """Draw a bar in the row of each of ``engines``; one that has none says why."""
    for row, engine in enumerate(engines):
        bar = bars[engine]
        if isinstance(bar, str):
            _beside(axes, 0, row, bar, GREYS[0])
        else:
            axes.barh(row, bar.middle, height=0.62, color=_colour(engine, GREY))
            axes.plot([bar.low, bar.high], [row, row], color=INK, linewidth=1, marker="|", markersize=5)
            _beside(axes, bar.high, row, shown(bar.middle), INK)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows, the first of which is on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for label in axes.get_yticklabels():
        label.set_color(_colour(label.get_text(), INK))


def _beside(axes: Axes, at: float, row: float, text: str, colour: str) -> None:
    """Write ``text`` right of a point, over whatever line passes there."""
    axes.annotate(
        text,
        (at, row),
        (5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
        in_layout=False,  # there is room for it inside the axes; measuring it takes half of the time of a picture
    )


def _lines(axes: Axes, lines: Mapping[str, Points], named: Mapping[str, str]) -> None:
    """Draw a line for each engine, and write what it is ``named`` behind its last point."""
    for number, (engine, points) in enumerate(lines.items()):
        colour = _colour(engine, GREYS[number % len(GREYS)])
        marker = "o" if engine == OURS else MARKERS[number % len(MARKERS)]
        width, above = (2.2, 3) if engine == OURS else (1.1, 2)
        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=5, linewidth=width, zorder=above)
    height = axes.get_ylim()[1]
    ends = sorted((points[-1][0], points[-1][1], engine) for engine, points in lines.items())
    for at, group in groupby(ends, key=lambda end: end[0]):
        here = list(group)
        for (_, _, engine), level in zip(here, _apart([end[1] for end in here], height * LABELS_APART), strict=True):
            _beside(axes, at, level, named[engine], _colour(engine, INK))


def _apart(levels: Sequence[float], least: float) -> list[float]:
    """Return ascending ``levels``, each raised until it is at least ``least`` above the one before."""
    raised: list[float] = []
    for level in levels:
        raised.append(max(level, raised[-1] + least) if raised else level)
    return raised


def _greatest(panels: Iterable[Bars]) -> float:
    """Return the greatest value that any bar reaches, 1 where there is none."""
    return max((bar.high for bars in panels for bar in bars.values() if not isinstance(bar, str)), default=1.0)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _cents(value: float) -> str:
    return f"{value:.2f}"


def _by_size(unfinished: Mapping[str, Sequence[float]]) -> dict[float, list[str]]:
    sizes = sorted({size for each in unfinished.values() for size in each})
    return {size: [engine for engine, each in unfinished.items() if size in each] for size in sizes}


def _colour(engine: str, otherwise: str) -> str:
    return ACCENT if engine == OURS else otherwise

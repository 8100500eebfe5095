"""benchmarks/report.py and benchmarks/pictures.py: what the document says of results, and that its pictures are SVG."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import msgspec
import pytest

from benchmarks import figures as wanted
from benchmarks import pictures, report
from benchmarks import runs as measured
from benchmarks.measure import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LINE_CHARACTERS_MAX: Final = 140
MACHINE: Final = "EPYC, 2 cores, 24 GiB, load 0.2, Linux\nPython 3.11.7, pyarrow 25.0.1"
TEXT: Final = "{http://www.w3.org/2000/svg}text"


def runs(*seconds: float, cpu: float = 5.0, peak_mb: float = 400, server: float = 4.0, **more: Any) -> list[Any]:
    told = {
        "cpu_seconds": cpu,
        "server_cpu_seconds": server,
        "peak_bytes": peak_mb * 1e6,
        "exact": True,
        "requests": 14,
    }
    return [{"seconds": each, "import_seconds": 0.6} | told | more for each in seconds]


def work(name: str, samples: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = {"name": name, "title": f"title of {name}", "kind": "object", "bytes": 229_000_000, "records": 1_800_093}
    return told | {"columns": 16, "objects": 1, "rounds": 3, "samples": samples, "failed": {}} | more


def large(**more: Any) -> dict[str, Any]:
    samples = {
        "ours": runs(5.0, 5.2, 4.8, cpu=5.05, peak_mb=398),
        "polars": runs(5.5, 5.2, 5.28, cpu=4.86, peak_mb=844),
        "polars_text": runs(9, 9, 9, cpu=9, peak_mb=900, exact=False),
        "duckdb": runs(25, 26, 24, cpu=30, peak_mb=948),
    }
    return work("lineitem-0.3", samples, failed={"seed": "killed: more | than\n2,048 MB"}) | more


def quick() -> dict[str, Any]:
    """Return results that have everything."""
    small = {
        "ours": runs(10, 10, 10, requests=10_002),
        "seed": runs(45, 50, 40, requests=6_002),
        "polars": runs(8, 8, 8, requests=6_002),
    }
    alone = {"ours": runs(0.2, 0.2, cpu=0.2), "polars": runs(0.4, 0.4, cpu=0.5), "fastavro": runs(16, cpu=16)}
    spans = [("decode", "convert_0", 0.01, 0.08), ("avro", "convert_0", 0.08, 0.11), ("parquet", "", 0.1, 0.2)]
    return {
        "date": "2026-11-23",
        "commit": "abc1234",
        "kind": "quick",
        "command": "python -m benchmarks suite",
        "machine": MACHINE,
        "works": [
            work(
                "lineitem-0.1", {"ours": runs(2, 2, 2, peak_mb=330), "seed": runs(60, peak_mb=1800)}, bytes=76_000_000
            ),
            large(),
            work("lineitem-3", {"ours": runs(50, peak_mb=410), "polars": runs(70, peak_mb=1900)}, bytes=2_300_000_000),
            work("small", small, kind="small", bytes=20_000_000, objects=2000),
            work("lineitem-0.3-512mb", {"ours": runs(10, 10, 10)}, cores=1, memory_mb=512),
        ],
        "avro_alone": {"data": "lineitem, codec null", "megabytes": 76, "samples": alone},
        "decode_alone": {"data": "lineitem", "threads": 2, "samples": {"ours": runs(2, 2), "polars": runs(1, 1)}},
        "kernels": {"data": "lineitem, from memory", "cpu_seconds": {"cut": 1.0, "avro": 3.0}, "runs": 3},
        "waterfall": {
            "data": "lineitem, scale 0.1",
            "seconds": 1.9,
            "spans": [dict(zip(("stage", "thread", "begin", "end"), span, strict=True)) for span in spans],
        },
        "flame": {
            "data": "lineitem, scale 0.3",
            "cpu_seconds": 4.0,
            "stacks": [
                {"frames": ["csv_transcode.pipeline.decode", "csv_transcode.decode.stripes.parse"], "seconds": 2.5},
                {"frames": ["csv_transcode.pipeline.decode", "pyarrow"], "seconds": 1.0},
                {"frames": ["not in Python"], "seconds": 0.5},
            ],
        },
        "startup": {"rows": [{"what": "import and convert 1 KB", "ours": [0.6, 0.7, 0.8], "seed": [1.2, 1.4, 1.6]}]},
    }


def written(folder: Path, *results: dict[str, Any]) -> str:
    """Return the document that is made of results, and leave it with its pictures in ``folder``/out."""
    out = folder / "out"
    out.mkdir(parents=True)
    for each in results:
        (folder / f"{each['kind']}.json").write_text(json.dumps(each), encoding="utf-8")
    report.main(["--results", str(folder), "--out", str(out)])
    return (out / "performance_comparison.md").read_text(encoding="utf-8")


def bare(*works: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"kind": "quick", "works": list(works)} | parts


def overlaid(*results: dict[str, Any]) -> measured.Results:
    return measured.overlaid([msgspec.convert(each, measured.Run) for each in results])


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("everything")
    return written(folder, quick()), folder / "out"


def rows(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, its header left out."""
    below = document.partition(f"{heading}\n")[2]
    table = re.search(r"(?m)(?:^\|.*\n)+", below)
    assert table is not None
    lines = [re.split(r"(?<!\\)\|", line.strip("|")) for line in table[0].splitlines()]
    return [[cell.strip() for cell in line] for line in lines[2:]]


# --- figures, wanted and found


def found(*works: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    figures = wanted.figures(overlaid(bare(*works)))
    return {(each.what, each.against): [each.found, each.verdict] for each in figures if each.found}


def test_every_target_is_told_with_what_was_found(everything: tuple[str, Path]) -> None:
    assert rows(everything[0], "## Figures wanted and found") == [
        [
            "title of lineitem-0.3",
            "the best of Polars' ways: Polars, dates typed",
            "at least 1.5 times as fast",
            "1.10 (1.00-1.10); by CPU seconds 0.96",
            "**missed**",
        ],
        [
            "title of lineitem-0.3",
            "DuckDB",
            "at least 4 times as fast",
            "5.00; by CPU seconds 5.94",
            "met",
        ],
        [
            "title of lineitem-0.1",
            "the seed design's way (did not finish on `lineitem-0.3`)",
            "at least 25 times as fast",
            "30.00; by CPU seconds 1.00, one round",
            "met",
        ],
        [
            "title of lineitem-0.1",
            "its best peer: the seed design's way",
            "at least 1.2 times as fast",
            "30.00; by CPU seconds 1.00, one round",
            "met",
        ],
        [
            "title of lineitem-3",
            "its best peer: Polars, dates typed",
            "at least 1.2 times as fast",
            "1.40; by CPU seconds 1.00, one round",
            "met",
        ],
        [
            "title of small",
            "the seed design's way",
            "objects a second: at least 4 times",
            "4.50 (4.00-5.00); by CPU seconds 1.00",
            "met",
        ],
        ["Avro encoder alone", "Polars", "by CPU seconds, at least 1.2 times as fast", "2.50", "met"],
        [
            "decode alone, 2 threads",
            "Polars",
            "at least 1.0 times as fast",
            "0.50; by CPU seconds 1.00",
            "**missed**",
        ],
        [
            "peak memory, `lineitem-3`",
            "that of `lineitem-0.3`",
            "at most 1.05 times",
            "1.03, the ratio of medians (410 and 398 MB)",
            "met",
        ],
        ["peak memory, `lineitem-3`", "-", "below 400 MB", "410 MB", "**missed**"],
        [
            "title of lineitem-0.3-512mb",
            "two processors: `lineitem-0.3`",
            "completes; at least 0.45 times its speed",
            "0.50, the ratio of medians (5.00 and 10.00 s)",
            "met",
        ],
        [
            "requests of one small object without rejects",
            "-",
            "at most 5",
            "5.0000: 10,002 for 2,000 objects, less 2 to list them",
            "met",
        ],
        [
            "title of lineitem-0.3",
            "its kernels on two cores",
            "at most 1.35 times, the server's half share taken off",
            "1.50 (1.40-1.60)",
            "**missed**",
        ],
    ]
    assert "Not measured in these runs: orders against its best peer; wide against its best peer;" in everything[0]


@pytest.mark.parametrize(
    ("theirs", "verdict"), [((7.5, 7.8, 7.3), "met"), ((7.4, 7.8, 7.1), "**missed**"), ((5, 99, 5), "**missed**")]
)
def test_met_or_missed_goes_by_the_median_of_pairs(theirs: Sequence[float], verdict: str) -> None:
    samples = {"ours": runs(5, 5.2, 4.8), "polars": runs(*theirs), "polars_stream": runs(90, 90, 90)}
    against = "the best of Polars' ways: Polars, dates typed"
    assert found(work("lineitem-0.3", samples))["title of lineitem-0.3", against][1] == verdict


@pytest.mark.parametrize(
    ("peak_mb", "requests", "seconds", "verdict"), [(399, 10_002, 11, "met"), (420, 10_003, 12, "**missed**")]
)
def test_limits_are_met_and_missed(peak_mb: float, requests: int, seconds: float, verdict: str) -> None:
    told = found(
        work("lineitem-0.3", {"ours": runs(5, peak_mb=398)}),
        work("lineitem-3", {"ours": runs(50, peak_mb=peak_mb)}),
        work("small", {"ours": runs(9, requests=requests)}, kind="small", objects=2000),
        work("lineitem-0.3-512mb", {"ours": runs(seconds)}, cores=1, memory_mb=512),
    )
    assert [each[1] for each in told.values()] == [verdict] * 4


def test_who_fails_has_missed_and_who_has_no_rival_has_not_won() -> None:
    killed = work("lineitem-0.3-512mb", {"ours": runs(9)}, failed={"ours": "killed"}, cores=1, memory_mb=512)
    alone = work("lineitem-3", {"ours": runs(50)}, failed={"polars": "killed"})
    told = found(killed, alone, large(samples={}, failed={"ours": "killed"}))
    assert told["title of lineitem-0.3-512mb", "two processors: `lineitem-0.3`"] == [
        "did not finish: killed",
        "**missed**",
    ]
    assert told["title of lineitem-3", "its best peer"] == ["none of them finished", "-"]
    assert told["title of lineitem-0.3", "DuckDB"] == ["did not finish: killed", "**missed**"]


# --- tables


def test_a_work_has_a_row_for_each_engine_or_why_it_failed(everything: tuple[str, Path]) -> None:
    assert rows(everything[0], "### title of lineitem-0.3") == [
        [
            "this program, as a function of 2,048 MB",
            "5.00 (4.80-5.20)",
            "5.05",
            "46",
            "398",
            "14",
            "exact",
        ],
        ["Polars, dates typed", "5.28 (5.20-5.50)", "4.86", "43", "844", "14", "exact"],
        ["Polars, dates as text", "9.00", "9.00", "25", "900", "14", "sums agree"],
        ["DuckDB", "25.00 (24.00-26.00)", "30.00", "9.2", "948", "14", "exact"],
        ["the seed design's way", "-", "-", "-", "-", "-", r"did not finish: killed: more \| than 2,048 MB"],
    ]
    assert "`lineitem-0.3`: 229 MB, 1,800,093 records, 16 columns. From the quick run, 3 rounds." in everything[0]


def test_small_objects_are_counted_by_the_second(everything: tuple[str, Path]) -> None:
    ours, seed, polars = (
        rows(everything[0], "### title of small")[place] for place in (0, 2, 1)
    )  # as the engines are listed: Polars before the seed design
    assert [ours[4], seed[4], polars[4]] == ["200", "44", "250"]


def test_what_ran_less_often_or_in_another_function_says_so(everything: tuple[str, Path]) -> None:
    assert rows(everything[0], "### title of lineitem-0.1")[1][0] == "the seed design's way (1 run)"
    assert rows(everything[0], "### title of lineitem-0.3-512mb")[0][0] == "this program, as a function of 512 MB"
    assert "16 columns, one core, a function of 512 MB." in everything[0]


def test_where_a_peer_wins_is_said(everything: tuple[str, Path]) -> None:
    assert rows(everything[0], "## Where a peer wins") == [
        ["title of lineitem-0.3", "CPU seconds", "5.05", "Polars, dates typed 4.86 (0.96)"],
        ["title of small", "clock, seconds", "10.00", "Polars, dates typed 8.00 (0.80)"],
        ["decode alone", "clock, seconds", "2.00", "Polars 1.00 (0.50)"],
    ]
    assert "this program's: 3 of 18 that have both." in everything[0]


def test_the_server_takes_its_share(everything: tuple[str, Path]) -> None:
    shares = rows(everything[0], "## The S3 server's share")
    assert ["title of lineitem-0.3", "DuckDB", "30.00", "4.00"] in [row[:4] for row in shares]
    assert [row[4] for row in shares if row[1] == "DuckDB"] == ["17.00"]


def test_the_other_parts_have_their_tables(everything: tuple[str, Path]) -> None:
    document, _ = everything
    startup = rows(document, "## Cold start")
    assert startup == [["import and convert 1 KB", "0.70 (0.60-0.80)", "1.40 (1.20-1.60)", "0.50", "3"]]
    assert [row[0] for row in rows(document, "## Avro encoder alone")] == ["this program", "Polars", "fastavro"]
    assert rows(document, "## Decode alone")[1][4] == "0.50"
    assert rows(document, "## The kernels against the whole")[1][2:] == ["3.00", "75 %"]
    assert "Two cores would take half of the sum, 2.00 s" in " ".join(document.split())


# --- which run, and what is left out


def test_the_full_run_lies_over_the_quick_one() -> None:
    again = bare(large(title="", rounds=5), kernels={"cpu_seconds": {"cut": 1}}) | {"kind": "full", "commit": "def"}
    first = bare(large(), work("orders", {"ours": runs(1)}), startup=quick()["startup"])
    over = report.document(overlaid(first, again), "")
    assert "`lineitem-0.3`: 229 MB, 1,800,093 records, 16 columns. From the full run, 5 rounds." in over
    assert "`orders`: 229 MB, 1,800,093 records, 16 columns. From the quick run, 3 rounds." in over
    assert "### lineitem-0.3\n" in over
    assert "title of lineitem-0.3" not in over
    assert "* The full run: commit `def`." in over
    origins = [over.partition(heading)[2].count("From the") for heading in ("## Cold start", "## The kernels")]
    assert origins == [2, 1]


def test_a_run_that_nothing_is_taken_from_is_not_named() -> None:
    over = report.document(overlaid(bare(large()), bare(large()) | {"kind": "full"}), "")
    assert "* The full run" in over
    assert "* The quick run" not in over


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    document = written(tmp_path / "bare", bare(work("orders", {"ours": runs(3)}, records=0)))
    assert re.findall(r"(?m)^##+ .*", document) == [
        "## Figures wanted and found",
        "## Pictures",
        "## Tables",
        "### title of orders",
        "## The S3 server's share",
        "## How it is measured",
    ]
    assert [path.name for path in (tmp_path / "bare" / "out" / "docs" / "pictures").iterdir()] == ["throughput.svg"]


def test_without_results_there_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"quick\.json nor .*full\.json: `make bench` writes them"):
        report.main(["--results", str(tmp_path), "--out", str(tmp_path)])


# --- the document as a text


def test_prose_is_wrapped_and_says_how_it_is_made(everything: tuple[str, Path]) -> None:
    document, _ = everything
    prose = [line for line in document.splitlines() if not line.startswith(("|", "#"))]
    assert max(map(len, prose)) <= LINE_CHARACTERS_MAX
    assert document.startswith("<!-- Written by `python -m benchmarks.report`")
    assert "`BENCH=full make bench`" in document
    assert all(line.count("`") % 2 == 0 for line in document.splitlines())
    assert not [line for line in prose if re.match(r"[+-] ", line)]
    assert "EPYC, 2 cores, 24 GiB, load 0.2, Linux; Python 3.11.7" in " ".join(document.split())


def test_every_picture_that_is_shown_is_there(everything: tuple[str, Path]) -> None:
    document, out = everything
    shown = re.findall(r"\]\((docs/pictures/[^)]+)\)", document)
    assert sorted(shown) == sorted(path.relative_to(out).as_posix() for path in out.glob("docs/**/*.svg"))
    assert len(shown) == 6


# --- pictures


def texts(out: Path, name: str) -> set[str]:
    """Return what an XML parser finds to read in a picture."""
    root = ET.parse(out / "docs" / "pictures" / name).getroot()  # noqa: S314  # written by this test
    return {"".join(element.itertext()) for element in root.iter(TEXT)}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("throughput.svg", {"this program", "title of lineitem-0.3", "46", "9.2", "did not finish", "not run"}),
        ("memory.svg", {"this program, 410", "Polars, dates typed, 1,900", "a function of 2,048 MB", "229"}),
        ("waterfall.svg", {"decode, convert_0", "avro, convert_0", "parquet", "seconds since the start"}),
        ("flame.svg", {"pipeline.decode", "stripes.parse", "pyarrow", "not in Python", "CPU seconds"}),
        ("small_objects.svg", {"this program", "200", "44"}),
        ("cost.svg", {"arm64, 512 MB", "x86_64, 3,538 MB", "0.51", "0.63", "does not fit"}),
    ],
)
def test_pictures_show_figures(everything: tuple[str, Path], name: str, shown: set[str]) -> None:
    assert shown - texts(everything[1], name) == set()


def test_frames_of_several_stacks_share_a_box_and_siblings_stand_by_width() -> None:
    stacks = [(["a", "b"], 1.0), (["c"], 4.0), (["a", "d"], 2.0), (["a"], 0.5)]
    assert pictures._boxes(stacks) == [(0, 0.0, 4.0, "c"), (0, 4.0, 3.5, "a"), (1, 4.0, 2.0, "d"), (1, 6.0, 1.0, "b")]


def test_the_same_results_give_the_same_bytes(everything: tuple[str, Path], tmp_path: Path) -> None:
    document, out = everything
    assert written(tmp_path / "again", quick()) == document
    for path in out.glob("docs/**/*.svg"):
        assert (tmp_path / "again" / "out" / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_a_picture_has_a_white_ground_and_one_colour(everything: tuple[str, Path]) -> None:
    for path in everything[1].glob("docs/**/*.svg"):
        colours = set(re.findall(r"fill: (#[0-9a-f]{6})", path.read_text(encoding="utf-8")))
        coloured = {
            colour for colour in colours if max(bytes.fromhex(colour[1:])) - min(bytes.fromhex(colour[1:])) > 40
        }
        assert "#ffffff" in colours
        assert coloured == {"#0b6bcb"}


# --- dollars


# infra_setup.md has these for 45 MB a CPU second
@pytest.mark.parametrize("memory_mb", [512, 1024, 1769, 2048, 3538])
@pytest.mark.parametrize(("dollars_a_gb_second", "dollars"), [(0.0000133334, 0.51), (0.0000166667, 0.64)])
def test_a_tb_costs_what_infra_setup_says(memory_mb: int, dollars_a_gb_second: float, dollars: float) -> None:
    assert round(report.dollars_a_tb(1 / 45, memory_mb, dollars_a_gb_second), 2) == dollars


def test_memory_beyond_two_processors_only_costs() -> None:
    once, twice = (report.dollars_a_tb(1 / 45, memory_mb, 1.0) for memory_mb in (3538, 7076))
    assert twice == pytest.approx(2 * once)


def test_who_ran_at_a_size_is_taken_from_there() -> None:
    little = work("lineitem-0.3-512mb", {"polars": runs(9, cpu=9)}, failed={"duckdb": "killed"}, memory_mb=512)
    dollars = report.costs(overlaid(bare(large(), little)))["arm64, 512 MB"]
    assert isinstance(dollars["Polars, dates typed"], Spread)
    assert round(dollars["Polars, dates typed"].middle, 2) == 0.91
    assert (dollars["DuckDB"], dollars["the seed design's way"]) == ("did not finish", "does not fit")

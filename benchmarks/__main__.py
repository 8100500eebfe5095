"""``python -m benchmarks``: everything, or one benchmark by name."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks import avro_encoder, conversion, decode, measure, startup, suite

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what ``arguments`` name; without any, all."""
    options = _parser().parse_args(arguments)
    if options.benchmark == "suite":
        suite.run(suite.FULL if options.full else suite.QUICK, options.rounds, options.only or ())
        return
    rounds = options.rounds or conversion.ROUNDS
    print(measure.machine(), flush=True)
    if options.benchmark in {"all", "avro"}:
        _avro_encoder()
    if options.benchmark in {"all", "decode"}:
        decode.compare(rounds)
    if options.benchmark in {"all", "startup"}:
        startup.compare(options.startup_rounds)
    if options.benchmark in {"all", "conversion"}:
        conversion.compare(options.scale, rounds, options.engines)
    if options.benchmark in {"all", "memory"}:
        conversion.memory(options.scale, rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures this program beside its peers. Every output is read back and compared with its source "
        "before a time is printed. Data are made once, under benchmarks/.data/; servers run on loopback and end with "
        "the run. The machine should be idle: absolute times are its own, ratios are taken within a round.",
        epilog="suite: all works by all engines, into benchmarks/results/, of which python -m benchmarks.report makes "
        "performance_comparison.md; make bench does both. conversion: lineitem from and to a real S3 server. memory: "
        "that file and one eight times as large. "
        "startup: import and convert 1 KB in a fresh process, and under AWS's runtime client. "
        "avro, decode: encoder and decoder alone.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = ("suite", "all", "avro", "decode", "startup", "conversion", "memory")
    parser.add_argument("benchmark", nargs="?", choices=names, default="all", help="what to run")
    parser.add_argument("--full", action="store_true", help="suite: everything, for hours, instead of ten minutes")
    parser.add_argument("--only", nargs="+", metavar="WORK", help="suite: these works alone, the rest as it was")
    parser.add_argument("--scale", type=float, default=conversion.SCALE, help="of TPC-H lineitem; 0.3 is 229 MB")
    parser.add_argument("--rounds", type=int, help=f"of each benchmark; {conversion.ROUNDS}, in a full suite more")
    parser.add_argument("--startup-rounds", type=int, default=startup.ROUNDS, help="of the start-up benchmark")
    engines = (conversion.OURS, *conversion.PEERS)
    parser.add_argument("--engines", nargs="+", choices=engines, default=engines, help="of the conversion benchmark")
    return parser


def _avro_encoder() -> None:
    """Run the encoder's benchmark in a process of its own: what it holds in memory is not for the others to carry."""
    subprocess.run([sys.executable, "-m", avro_encoder.__name__], check=True)


if __name__ == "__main__":
    main()

"""``python -m fuzz coverage``: coverage-guided fuzzing, a process a target, with counts, time and memory watched."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from fuzz import generate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHARES: Final = {"records": 0.5, "head": 0.25, "file": 0.25}  # of the time
SEEDS: Final = 200  # generated files to begin with
INPUT_BYTES_MAX: Final = {"records": 400, "head": 2048, "file": 2048}
OPTION_BYTES: Final = 3  # of the target "records"
INPUT_SECONDS_MAX: Final = 20  # for one input, or it hangs
RSS_MB_MAX: Final = 1500
PROCESS_INPUTS_MAX: Final = 15_000  # then a new process goes on: atheris keeps some 35 kB an input
REPLAY_SHARE: Final = 0.1  # of the time
RSS_GROWTH_MB_MAX: Final = 32  # from the first replay of all inputs kept to the last
OVERTIME_SECONDS: Final = 120.0

# What a byte-wise mutator would be long in finding.
TOKENS: Final = (
    *(b'"', b'""', b'","', b'"\n"', b"\r\n", b"\r", b",", b";", b"\t", b"|", b"'", b"\\", b'\\"', b"\n\n", b"\0"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff", b"a\0,\0", b"\0a\0,", b"\n\0"),
    *(b"\xc3\xa9", b"\xe9", b"\x93", b"\xd0\xb6", b"\xe6\xbc\xa2", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0"),
    *(b"\x28\xb5\x2f\xfd", b"1.50", b"-7", b"true", b"2020-01-01", b"2020-01-01T10:00:00Z", b"1e-05", b"nan", b"#"),
)
_STATUS: Final = re.compile(r"#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/\S+.*?rss: (\d+)Mb")


@dataclass(frozen=True)
class Status:
    """One line of libFuzzer's: inputs so far, branches and features reached, inputs kept, memory."""

    inputs: int
    branches: int
    features: int
    kept: int
    rss_mb: int


def run(minutes: float, seed: int, folder: Path, tell: Callable[[str], None]) -> int:
    """Fuzz every target; return 0 where nothing was found, and nothing is missing from the counts."""
    if importlib.util.find_spec("atheris") is None:
        tell("atheris is not installed: pip install -r requirements-fuzz.txt (Linux, Python 3.11 to 3.14)")
        return 1
    wrong: list[str] = []
    for name, share in SHARES.items():
        wrong += _fuzz(name, max(1, round(60 * minutes * share)), seed, folder.resolve(), tell)
    tell(f"coverage-guided: {'; '.join(wrong) or 'nothing found'}")
    return 1 if wrong else 0


def _fuzz(name: str, seconds: int, seed: int, folder: Path, tell: Callable[[str], None]) -> list[str]:
    """Fuzz one target; return what is wrong."""
    corpus = folder / f"corpus-{name}"
    _write_seeds(corpus, seed, name)
    statuses: list[Status] = []
    counts: Counter[str] = Counter()
    problems: list[str] = []
    ends, inputs = time.monotonic() + seconds * (1 - REPLAY_SHARE), 0
    while not problems and (left := ends - time.monotonic()) > 1:
        counted, log = folder / f"counts-{name}.json", folder / f"log-{name}.txt"
        command = [sys.executable, "-m", "fuzz.guided", name, str(counted), str(corpus)]
        command += _options(folder, name, seed + counts["processes"], left)
        with log.open("wb") as output:
            ended = subprocess.run(command, stdout=output, stderr=output, check=False, timeout=left + OVERTIME_SECONDS)
        text = log.read_text(encoding="utf-8", errors="replace")
        statuses += [Status(*map(int, found.groups())) for found in _STATUS.finditer(text)]
        counts.update(json.loads(counted.read_text(encoding="utf-8")) if counted.exists() else {})
        counts["processes"] += 1
        problems += [f"exit code {ended.returncode}, see {log}"] if ended.returncode else []
        inputs += statuses[-1].inputs if statuses else 0
    for line in _told(name, seconds, inputs, statuses, counts):
        tell(line)
    problems += [f"{what} never met" for what in REQUIRED[name] if not counts[what]]
    problems += [] if statuses else ["no branches"]
    return [f"{name}: {problem}" for problem in problems + _growth(name, corpus, seconds, tell)]


def _options(folder: Path, name: str, seed: int, seconds: float) -> list[str]:
    """Return libFuzzer's options; a dictionary is written for it."""
    tokens = folder / "tokens.txt"
    quoted = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    tokens.write_text("".join(f'"{token}"\n' for token in quoted), encoding="utf-8")
    options = [f"-dict={tokens}", f"-max_total_time={max(1, round(seconds))}", f"-runs={PROCESS_INPUTS_MAX}"]
    options += [f"-seed={seed}", f"-max_len={INPUT_BYTES_MAX[name]}", f"-artifact_prefix={folder}/{name}-"]
    return [*options, f"-timeout={INPUT_SECONDS_MAX}", f"-rss_limit_mb={RSS_MB_MAX}", "-print_final_stats=1"]


def _growth(name: str, corpus: Path, seconds: int, tell: Callable[[str], None]) -> list[str]:
    """Give the target every kept input again and again; return what is wrong with its memory."""
    command = [sys.executable, "-m", "fuzz.replay", name, str(corpus), str(seconds * REPLAY_SHARE)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        return [f"replay: {ended.stderr[-500:]}"]
    found = json.loads(ended.stdout)
    first, last = found["rss_mb"][0], found["rss_mb"][-1]
    tell(f"{name}: {found['inputs']:,} inputs replayed in {len(found['rss_mb'])} rounds, RSS {first} MB, then {last}")
    return [f"memory grew from {first} to {last} MB"] if last > first + RSS_GROWTH_MB_MAX else []


def _write_seeds(corpus: Path, seed: int, name: str) -> None:
    """Write generated files for the fuzzer to begin with; with options before the text, where the target has some."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number in range(SEEDS):
        random = Random(f"{seed}/{number}")
        case = generate.case(random)
        data = random.randbytes(OPTION_BYTES) + case.text if name == "records" else case.source
        (corpus / f"seed-{number}").write_bytes(data[: INPUT_BYTES_MAX[name]])


def _told(name: str, seconds: int, inputs: int, statuses: list[Status], counts: Counter[str]) -> list[str]:
    if not statuses:
        return [f"{name}: {seconds} s, and no word from libFuzzer"]
    branches, features = max(one.branches for one in statuses), max(one.features for one in statuses)
    run = f"{seconds} s, {inputs:,} inputs, {branches:,} branches, {features:,} features"
    kept = f"{statuses[-1].kept:,} inputs kept, RSS {max(one.rss_mb for one in statuses)} MB at most"
    met = ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()))
    return [f"{name}: {run}, {kept}", f"{name}: {met}"]


REQUIRED: Final = {
    "records": (
        *("inputs", "good records", "rejected: quote", "rejected: field_count", "rejected: encoding"),
        *("rejected: limit", "beyond limits", "width 1", "width 2", "dialect 0", "dialect 3", "dialect 4"),
    ),
    "head": ("inputs", "encoding utf-8", "encoding utf-16-le", "compression gzip", "CompressionError", "delimiter ','"),
    "file": ("inputs", "read", "good records", "rejected: quote", "rejected: field_count", "CompressionError"),
}

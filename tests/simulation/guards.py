"""Takes one guard at a time out of a copy of the package, and sees that a check turns red: ``make guards``.

The table in docs/reliability.md is what it writes. A check that is not green before, or a guard whose removal nobody
sees, is a failure.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reliability.md"
COPIED: Final = ("csv_transcode", "tests", "demo", "lambda_handler.py", "s3_data_processor.py", "pyproject.toml")
BEGIN: Final = "<!-- guards: written by make guards -->"
END: Final = "<!-- end of guards -->"
SHOWN_MAX: Final = 170
SECONDS_MAX: Final = 900
HUNT: Final = "tests.simulation.hunt"


@dataclass(frozen=True)
class Guard:
    """One guard: what it is, where, what is put in its place, and the check: of the simulation, or a test."""

    name: str
    path: str
    text: str
    instead: str
    check: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        if self.check[0].isdigit():
            return ("-m", HUNT, *self.check)
        return ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *self.check)

    @property
    def shown(self) -> str:
        if not self.check[0].isdigit():
            return f"`pytest {' '.join(self.check)}`"
        named = " ".join(f'"{name}"' for name in self.check[1:])
        return f"`python -m {HUNT} {self.check[0]} {named}`".replace(" `", "`")


COMMIT: Final = "csv_transcode/commit.py"
CONVERSION: Final = "csv_transcode/conversion.py"
READER: Final = "csv_transcode/s3/reader.py"
STORE: Final = "csv_transcode/s3/store.py"
EVENTS: Final = "csv_transcode/events.py"
FIRST: Final = ("0", "first conversion")
NEW: Final = ("0", "new version, unique ETags")
PARTS: Final = ("0", "first, in parts")
STORM: Final = ("400",)

GUARDS: Final = (
    Guard("If-Match on ranges", READER, "if_match=self.etag, byte", "byte", ("0", "a prefix, in ranges")),
    Guard("one length for every answer", READER, "if got.size != self.size:", "if False:", FIRST),
    Guard(
        "the end of a body is read, so that the SDK checks it",
        READER,
        "answer.body.read1(1)  # there",
        "pass  # there",
        FIRST,
    ),
    Guard(
        "If-None-Match on the first outputs",
        COMMIT,
        "absent = {name: Condition.absent()",
        "absent = {name: Condition.none()",
        STORM,
    ),
    Guard(
        "If-None-Match on the first manifest",
        COMMIT,
        "[last], Condition.absent())",
        "[last], Condition.none())",
        STORM,
    ),
    Guard(
        "ETag condition on outputs",
        COMMIT,
        "= _split(seen, optional)",
        "= _split(dict.fromkeys(seen, Condition.none()), optional)",
        STORM,
    ),
    Guard("recheck of the claim", COMMIT, "        self._require_claim(claimed)\n", "", STORM),
    Guard(
        "look at the source after the claim", COMMIT, "        self._require_newest()\n", "", ("tests/test_commit.py",)
    ),
    Guard("the committed manifest on the claim", COMMIT, "Condition.matches(claimed))", "Condition.none())", STORM),
    Guard(
        "the claim on the manifest that was read",
        COMMIT,
        'standing.condition, "claim")',
        'Condition.none(), "claim")',
        ("tests/test_commit.py", "-k", "TestConditions"),
    ),
    Guard(
        "withdraw: who loses after a claim looks",
        COMMIT,
        "if any(stages):",
        "if False:",
        ("tests/test_commit.py", "-k", "came_back_before_one_that"),
    ),
    Guard(
        "the attempt id tells ours from theirs",
        STORE,
        "found.metadata.get(ATTEMPT_ID) == quote(attempt_id)",
        "found.metadata",
        ("0", "new version"),
    ),
    Guard(
        "a pending manifest is no conversion",
        COMMIT,
        "not manifest.is_committed or manifest.settings",
        "manifest.settings",
        ("0", "new version"),
    ),
    Guard(
        "304 counts under the same fingerprint only",
        COMMIT,
        " or manifest.settings_fingerprint != fingerprint:",
        ":",
        ("0", "other settings"),
    ),
    Guard("abort on the way out", CONVERSION, "            stack.callback(outputs.abort)\n", "", PARTS),
    Guard(
        "what a killed conversion left is aborted",
        CONVERSION,
        "            self._abort_strays(visit.keys)\n",
        "            pass\n",
        PARTS,
    ),
    Guard(
        "409 on CompleteMultipartUpload: everything again",
        CONVERSION,
        "except (PreconditionFailedError, ConflictError) as",
        "except PreconditionFailedError as",
        PARTS,
    ),
    Guard(
        "what may work next time is no recorded failure",
        CONVERSION,
        "        if error.retryable:\n            return\n",
        "",
        FIRST,
    ),
    Guard("owner header", STORE, "ExpectedBucketOwner=self._owners.get(bucket)", "", NEW),
    Guard("KMS key", STORE, "if kms_key_id else {}", "if False else {}", NEW),
    Guard(
        "count check",
        "csv_transcode/manifest.py",
        "counts is None or counts.read != counts.written + counts.rejected",
        "counts is None",
        ("tests/test_manifest.py",),
    ),
    Guard(
        "prefix check",
        "csv_transcode/keys.py",
        "if not key.startswith(self.prefix):\n            return f",
        "if False:\n            return f",
        ("tests/test_keys.py",),
    ),
    Guard("bucket check", EVENTS, "if bucket != key_map.input_bucket:", "if False:", ("tests/test_events.py",)),
    Guard(
        "own-output marker",
        CONVERSION,
        "if MARKER in source.metadata:",
        "if False:",
        ("tests/test_processor.py", "-k", "mark"),
    ),
    Guard(
        "payload bounds",
        EVENTS,
        "if characters > MESSAGES_CHARACTERS_MAX:",
        "if False:",
        ("tests/test_events.py", "tests/test_hostile_payloads.py"),
    ),
)


@dataclass(frozen=True)
class Seen:
    """What a check said."""

    status: int
    line: str


def main() -> int:
    """Return 1 where a check is red before, or stays green without its guard."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.guards")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="guards whose name holds this")
    parser.add_argument("--no-baseline", action="store_true", help="take it for granted that checks are green")
    arguments = parser.parse_args()
    guards = [guard for guard in GUARDS if arguments.only in guard.name]
    checks = [] if arguments.no_baseline else list({guard.command: guard for guard in guards}.values())
    with ThreadPoolExecutor(arguments.jobs) as pool:
        before = list(pool.map(lambda guard: _seen(guard, removed=False), checks))
        after = list(pool.map(lambda guard: _seen(guard, removed=True), guards))
    wrong = [
        f"{guard.shown} is red before: {seen.line}" for guard, seen in zip(checks, before, strict=True) if seen.status
    ]
    wrong += [
        f"{guard.name}: nothing turned red, {seen.line}"
        for guard, seen in zip(guards, after, strict=True)
        if seen.status != 1
    ]
    if not arguments.only:
        _write([(guard, seen) for guard, seen in zip(guards, after, strict=True) if seen.status == 1])
    print("\n".join(wrong) or f"{len(guards)} guards, each seen by a check")
    return 1 if wrong else 0


def _seen(guard: Guard, *, removed: bool) -> Seen:
    """Run the guard's check in a copy, with the guard or without."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        if removed:
            path = Path(folder) / guard.path
            text = path.read_text()
            if text.count(guard.text) != 1:
                print(f"{guard.name}: {guard.path} holds {guard.text!r} {text.count(guard.text)} times", flush=True)
                return Seen(2, "the guard is not where it was")
            path.write_text(text.replace(guard.text, guard.instead))
        seen = _run(guard, folder)
    print(f"{guard.name}, {'removed' if removed else 'in place'}: {seen.status}, {seen.line}", flush=True)
    return seen


def _run(guard: Guard, folder: str) -> Seen:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "few"}
    try:
        done = subprocess.run(
            [sys.executable, *guard.command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired:
        return Seen(2, f"took more than {SECONDS_MAX} s")
    lines = [line for line in done.stdout.splitlines() if re.match(r"BROKEN|FAILED|nothing is broken|\d+ passed", line)]
    said = next(iter(lines), (done.stderr or done.stdout)[-SHOWN_MAX:])
    return Seen(done.returncode, re.sub(r"^(BROKEN|FAILED) ", "", said)[:SHOWN_MAX].replace("|", "/"))


def _write(found: list[tuple[Guard, Seen]]) -> None:
    rows = []
    for guard, seen in found:
        removed = f"`{guard.path}`: `{_one_line(guard.text)}` → `{_one_line(guard.instead)}`"
        rows.append(f"| {guard.name} | {removed} | {guard.shown} | {seen.line} |")
    table = "\n".join(["| guard | removed by | check | what it said |", "|---|---|---|---|", *rows])
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/") or "nothing"


if __name__ == "__main__":
    sys.exit(main())

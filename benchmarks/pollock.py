"""Pollock's polluted CSV files, read by this program and by its peers in one run: exact, refused, silently different.

    python -m benchmarks.pollock [--corpora FOLDER] [--write]

The files are not part of the project; without the folder there is nothing to do. What the verdicts mean stands in
``docs/pollock.md``, which ``--write`` makes.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import measure
from benchmarks.csv_readers import Ours, attempt, peers
from benchmarks.strict_csv import Dialect, read
from benchmarks.verdicts import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.csv_readers import Setting
    from benchmarks.strict_csv import Truth
    from benchmarks.verdicts import Judgement

CORPORA: Final = measure.ROOT.parent / "shared" / "corpora" / "pollock"
DOCUMENT: Final = measure.ROOT / "docs" / "pollock.md"
ENGINES: Final = ("pandas", "pyarrow", "duckdb", "polars")

# What a file's name says is polluted in it; the first that fits.
FAMILIES: Final = {
    "a quote too many in one record": re.compile(r"row_extra_quote"),
    "a delimiter missing in one record": re.compile(r"row_less_sep"),
    "a delimiter too many in one record": re.compile(r"row_more_sep"),
    "another delimiter in one record": re.compile(r"row_field_delimiter"),
    "the whole file": re.compile(r"file_"),
}


@dataclass(frozen=True)
class Case:
    """One file: its family, how it is written, and what it says (in two ways where it has no header)."""

    path: Path
    family: str
    dialect: Dialect
    truths: tuple[Truth, ...]

    @property
    def well_formed(self) -> bool:
        """Whether every record is."""
        return not self.truths[0].malformed


@dataclass
class Tally:
    """The judgements of one setting, by family."""

    setting: Setting
    judged: list[tuple[Case, Judgement]] = field(default_factory=list)

    def counts(self, family: str | None = None, *, well_formed: bool | None = None) -> dict[Verdict, int]:
        """Return how many files, of one family or of all, of one kind or both, got each verdict."""
        counted = Counter(
            judgement.verdict
            for case, judgement in self.judged
            if family in (None, case.family) and well_formed in (None, case.well_formed)
        )
        return {verdict: counted[verdict] for verdict in Verdict}

    def typing_only(self) -> int:
        """Return how many of the silent differences are of typing alone."""
        return sum(judgement.typing_only for _, judgement in self.judged)


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge every setting on every file, and print the table."""
    options = _parser().parse_args(arguments)
    if not options.corpora.is_dir():
        print(f"skipped: there is no {options.corpora}; the files are HPI-Information-Systems/Pollock's polluted_files")
        return
    cases = [_case(path) for path in sorted(options.corpora.glob("*.csv"))]
    tallies = _tallies(cases)
    text = _tables(cases, tallies)
    print(text)
    if options.why:
        print(*_reasons(tallies), sep="\n")
    if options.write:
        DOCUMENT.write_text(_document(text, tallies), encoding="utf-8")


def dialect_of(name: str) -> Dialect:
    """Return how a file of this name is written: Pollock's names say it, in hexadecimal; no detection has a part in it.

    Only names that speak of the whole file count. An escape of 0x00 is none.
    """
    said = re.search(r"file_(field_delimiter|quotation_char|escape_char|record_delimiter)((?:_0x[0-9A-Fa-f]+)+)", name)
    if not said:
        return Dialect(header="file_no_header" not in name)
    text = "".join(chr(int(code, 16)) for code in said[2].split("_0x")[1:])
    match said[1]:
        case "field_delimiter":
            return Dialect(delimiter=text)
        case "quotation_char":
            return Dialect(quote=text)
        case "escape_char":
            return Dialect(escape=text.strip("\0") or None)
        case _:
            return Dialect(line_end=text)


def _case(path: Path) -> Case:
    family = next(name for name, pattern in FAMILIES.items() if pattern.search(path.name))
    dialect = dialect_of(path.name)
    text = path.read_bytes().decode("utf-8-sig")
    ways = (dialect,) if dialect.header else (dialect, Dialect())
    return Case(path, family, dialect, tuple(read(text, way) for way in ways))


def _tallies(cases: Sequence[Case]) -> list[Tally]:
    with Ours() as ours:
        tallies = [Tally(setting) for setting in (*ours.settings(), *peers())]
        for tally in tallies:  # the outer loop: another environment is another processor, and costs as much as a file
            for case in cases:
                result = attempt(tally.setting, case.path, case.dialect)
                tally.judged.append((case, judge(result, case.truths)))
    return tallies


def _tables(cases: Sequence[Case], tallies: Sequence[Tally]) -> str:
    regular = sum(case.well_formed for case in cases)
    head = f"{len(cases)} files: {regular} well-formed throughout, {len(cases) - regular} with malformed records."
    shown = "exact / refused / silently different"
    by_kind = _markdown(
        ["", "settings", "exact", "refused", "silently different", "of these by typing alone", "well-formed files"],
        (
            [
                tally.setting.reader,
                tally.setting.settings,
                *(str(count) for count in tally.counts().values()),
                str(tally.typing_only()),
                _slashed(tally.counts(well_formed=True)),
            ]
            for tally in tallies
        ),
    )
    sizes = Counter(case.family for case in cases)
    families = [family for family in FAMILIES if sizes[family]]
    by_family = _markdown(
        ["", "settings", *(f"{family} ({sizes[family]})" for family in families)],
        (
            [tally.setting.reader, tally.setting.settings, *(_slashed(tally.counts(family)) for family in families)]
            for tally in tallies
        ),
    )
    return f"{head}\n\n{by_kind}\n\nBy what is polluted, {shown}:\n\n{by_family}"


def _slashed(counts: dict[Verdict, int]) -> str:
    return " / ".join(str(count) for count in counts.values())


def _markdown(header: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [header, ["---"] * 2 + ["--:"] * (len(header) - 2), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _reasons(tallies: Sequence[Tally]) -> Iterator[str]:
    for tally in tallies:
        reasons: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for case, judgement in tally.judged:
            if judgement.verdict is not Verdict.EXACT:
                reason = judgement.why.splitlines()[0][:100]
                reasons[judgement.verdict.value, reason].append(case.path.name)
        yield f"\n{tally.setting.reader}, {tally.setting.settings}"
        for (verdict, reason), names in sorted(reasons.items(), key=lambda item: -len(item[1])):
            yield f"{len(names):5} {verdict}: {reason} ({names[0]})"


def _document(tables: str, tallies: Sequence[Tally]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ENGINES)
    options = _markdown(
        ["", "settings", "options"],
        ([tally.setting.reader, tally.setting.settings, tally.setting.options] for tally in tallies),
    ).replace("--:", "---")
    return _TEXT.format(
        tables=tables,
        not_exact="\n".join(_not_exact(tallies[0])),
        options=options,
        versions=f"Python {platform.python_version()}, {versions}",
        command=_COMMAND,
    )


def _not_exact(tally: Tally) -> Iterator[str]:
    """Yield a line for each file by family: what is in the files is not for the document, nor are their names."""
    for case, judgement in tally.judged:
        if judgement.verdict is not Verdict.EXACT:
            reason = judgement.why.splitlines()[0].partition(",")[0].partition(":")[0]
            yield f"* {judgement.verdict.value}, {case.family}: {reason}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pollock", description=__doc__.partition("\n")[0])
    parser.add_argument("--corpora", type=Path, default=CORPORA, help="folder of Pollock's files")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(measure.ROOT)}")
    parser.add_argument("--why", action="store_true", help="print the reasons, most frequent first")
    return parser


_COMMAND: Final = ".venv/bin/python -m benchmarks.pollock --corpora ../shared/corpora/pollock --write"
_TEXT: Final = """\
# Pollock's files, side by side

[Pollock](https://github.com/HPI-Information-Systems/Pollock) pollutes one CSV file in many ways, one a file. These
are the files of it that the corpora hold, read by this program and by its peers, all in one run and all judged alike.
Made by

    {command}

which needs those files (they are not part of the project), and says so and ends without them; `--why` adds the
reasons. {versions}.

{tables}

## What the words mean

The truth is a reader of its own in the benchmark: RFC 4180 to the letter, with the dialect that the *file's name*
states (Pollock's names say delimiter, quote, escape and line end), never the one that anybody detected. A record is
*malformed* if it is not a sequence of RFC 4180's fields, which costs the line it begins on, or if it has another
number of fields than the header. Lines without a character are no records: Polars makes one of nulls of them.

* **exact**: every well-formed record arrives, in order, under the header's names, with every cell as its text says,
  and every malformed one is reported with its place. This program's Parquet, Avro and rejects must all three be
  right, the rejects to the byte.
* **refused**: an error, or nothing published and a reason given.
* **silently different**: anything else. A table that drops, pads, merges or alters a record without saying where.

A reader without such a report cannot be exact on a file with malformed records: an error is the best that it can do.
Two of the peers have one, and get a row for it: pyarrow's handler of invalid rows, and DuckDB's table of rejects. Of
their reports, the line is what counts.

A typed column says what its texts say if *one* way of writing its values gives every text again: 1.50 beside 2.25 is
the double 1.5, and 28/01/2018 a date. `007` as 7, `NA` as null, and 1.10 as 1.1 beside 1.9 are not. An empty cell,
quoted or not, may be null or empty. Names that are empty or repeated may be completed. The one file without a header
counts as exact with its first record as names or as a record. *By typing alone*: names, counts, and all cells that
stayed text are right.

## What to know of the differences

* A quote that opens at the end of a line: pyarrow and DuckDB count the next record to the bad one and report one line,
  so a record that is well-formed by itself is missing. By the rule above that is a silent difference.
* A delimiter too many: DuckDB drops the last field where it is empty, as it is in these files, even with `strict_mode`;
  the fields before it have moved by one, and its report does not name the record.
* A delimiter missing: pandas and Polars fill the record up. We know of no option of theirs against it.
* A file whose delimiter is two characters: only pandas and DuckDB can be told so.

This program with settings *auto*, where it is not exact:

{not_exact}

## Settings

*Auto* is what each does when given nothing but the file: pandas, pyarrow and Polars then take commas and double
quotes, DuckDB and this program look. *Dialect given* adds delimiter, quote, escape, line end where it is CR, encoding
and whether there is a header, and the strictest options that are documented, all columns text; this program types
them. Every record may be rejected (`MAX_REJECTED_RATIO=1`): by default it refuses a file in which more than a tenth
are, such as three tables in one.

{options}

"""


if __name__ == "__main__":
    main()

"""What the documents say is what the code does: tables, keys, examples, commands, links and sums."""

from __future__ import annotations

import ast
import json
import operator
import re
import runpy
import shlex
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from csv_transcode import memory_budget
from csv_transcode.__main__ import main
from csv_transcode.decode import records
from csv_transcode.formats import parquet
from csv_transcode.formats.avro import encoder
from csv_transcode.s3 import cache, reader, upload, wrangler
from csv_transcode.settings import Settings, setting_rows
from s3_data_processor import S3DataProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

    from csv_transcode.keys import KeyMap

ROOT: Final = Path(__file__).parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE: Final = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
INFRA: Final = (ROOT / "infra_setup.md").read_text(encoding="utf-8")
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LANDING, LAKE, KEY = "landing", "lake", "in/2026/day.csv"
CORES: Final = 2
MIB: Final = 1 << 20
TIMES: Final = "\N{MULTIPLICATION SIGN}"

NOT_LITERAL: Final = ("required", "empty", "detected", "the function's memory, else the cgroup's")
ELIDED: Final = ("etag", "settings_fingerprint", "bytes")  # differ with library versions


# --- settings


def test_the_settings_table_is_what_settings_say() -> None:
    rows = [tuple(cells) for cells in table_under(README, "## Settings")]
    assert rows == [(f"`{name}`", default_cell(text), meaning) for name, text, meaning in setting_rows()]


def default_cell(text: str) -> str:
    return text if text in NOT_LITERAL else f"`{text}`"


# --- keys


def test_the_example_keys_are_what_the_key_map_says() -> None:
    named = {cells[0].strip("`") for cells in table_under(README, "With `PREFIX=in/`")}
    assert named == set(key_map().map(KEY))


def test_every_arrow_between_keys_is_what_the_key_map_says() -> None:
    arrows = re.findall(r"`([\w.]+)`\s+→\s+`([\w.]+)`", section(README, "## Inputs and outputs"))
    assert len(arrows) >= 4
    assert [key_map().map(f"in/{source}").outputs["parquet"] for source, _ in arrows] == [
        f"processed/{output}" for _, output in arrows
    ]


def key_map() -> KeyMap:
    return Settings.of(LANDING, LAKE, prefix="in/").key_map


# --- examples, run


@pytest.fixture
def aws(s3: S3Client) -> S3Client:
    """Return a client of an S3 with the README's buckets and its source."""
    for bucket in (LANDING, LAKE):
        s3.create_bucket(Bucket=bucket)
    for key in (KEY, "in/day.csv"):
        s3.put_object(Bucket=LANDING, Key=key, Body=source())
    return s3


def test_the_manifest_example_is_what_a_conversion_writes(aws: S3Client) -> None:
    convert(aws)
    written = json.loads(aws.get_object(Bucket=LAKE, Key=key_map().map(KEY).manifest)["Body"].read())
    shown = json.loads(code(README, "json", "manifest_version"))
    assert elided(written) == elided(shown)
    assert list(written) == list(shown)


def test_the_report_example_has_the_shape_of_a_report(aws: S3Client) -> None:
    shown = json.loads(code(README, "json", "statusCode"))
    got = convert(aws)
    assert shown["results"][0].pop("outputs") == ["as in the manifest"]
    assert got["results"][0].pop("outputs")
    assert shape(shown) == shape(got)
    assert {shown["bytes"][name] for name in ("parquet", "avro")} == {"…"}  # differ with library versions
    assert (shown["files"], shown["records"], shown["bytes"]["read"]) == (
        got["files"],
        got["records"],
        got["bytes"]["read"],
    )


def test_the_python_example_runs(aws: S3Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "example.py"
    script.write_text(code(README, "python", "S3DataProcessor"), encoding="utf-8")
    runpy.run_path(str(script))
    assert capsys.readouterr().out.count("converted") == 2
    listed = aws.list_objects_v2(Bucket=LAKE, Prefix="scratch/")["Contents"]
    assert [entry["Key"] for entry in listed] == ["scratch/day.avro", "scratch/day.parquet"]


def test_the_command_lines_run(aws: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("day.csv").write_bytes(source())
    lines = [shlex.split(line, comments=True) for line in code(README, "sh", "csv_transcode").splitlines()]
    assert [line[:3] for line in lines] == [["python", "-m", "csv_transcode"]] * 10
    assert [main(line[3:]) for line in lines] == [0] * 10
    assert sorted(path.name for path in Path("out").iterdir()) == ["day.avro", "day.parquet"]
    assert aws.head_object(Bucket=LAKE, Key="processed/2026/day.parquet")


def source() -> bytes:
    return code(README, "csv", "order").encode()


def convert(client: S3Client) -> dict[str, Any]:
    with S3DataProcessor(LANDING, LAKE, "in/", s3_client=client) as processor:
        return processor.run([KEY]).to_dict()


def elided(described: Any) -> Any:
    if isinstance(described, list):
        return [elided(item) for item in described]
    if not isinstance(described, dict):
        return described
    return {name: "…" if name in ELIDED else elided(value) for name, value in described.items()}


def shape(described: Any) -> Any:
    if isinstance(described, list):
        return [shape(item) for item in described]
    return {name: shape(value) for name, value in described.items()} if isinstance(described, dict) else None


# --- commands, links, names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_verb_is_in_the_makefile(document: Path) -> None:
    verbs = set(re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    # at the start of a line or in code: prose may make things, too
    named = set(re.findall(r"(?m)(?:^|`)make (\w+)", document.read_text(encoding="utf-8")))
    assert named <= verbs


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_resolves(document: Path) -> None:
    broken = [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
        if not link.startswith("https://") and not resolves(document, link)
    ]
    assert not broken


def test_the_readme_links_to_the_other_documents() -> None:
    others = {path.name for path in ROOT.glob("*.md")} - {"README.md"}
    assert others <= set(re.findall(r"\]\(([\w.]+)\)", README))


def test_files_that_commands_name_exist() -> None:
    named = re.findall(r"(?:pytest|-r) ([\w./-]+\.(?:py|txt))", README)
    assert len(named) >= 3
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("document", [README, ARCHITECTURE, INFRA], ids=["README", "ARCHITECTURE", "infra_setup"])
def test_modules_that_are_named_exist(document: str) -> None:
    files = (*ROOT.glob("*.py"), *(ROOT / "csv_transcode").glob("**/*.py"), *(ROOT / "tests").glob("**/*.py"))
    modules = [path.relative_to(ROOT).as_posix() for path in files]
    named = re.findall(r"`([\w/]+\.py)`", document)
    missing = [name for name in named if not any(fnmatchcase(f"/{path}", f"*/{name}") for path in modules)]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_constants_that_are_named_exist(document: Path) -> None:
    modules = (path.read_text(encoding="utf-8") for path in (*ROOT.glob("csv_transcode/**/*.py"), *ROOT.glob("*.py")))
    known = {name for text in modules for name in re.findall(r"\b_?[A-Z][A-Z_]+\b", text)}
    spans = re.findall(r"`([^`\n]+)`", prose(document.read_text(encoding="utf-8")))
    named = {name for span in spans for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", span)}
    assert named - known - NOT_OURS == set()


NOT_OURS: Final = {"TIMESTAMP_NTZ"}  # Spark's


def resolves(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists() or not anchor:
        return target.exists()
    headings = re.findall(r"(?m)^#+ (.+)$", prose(target.read_text(encoding="utf-8")))
    return anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


# --- what ARCHITECTURE.md adds up


def test_the_memory_table_adds_up() -> None:
    *rows, total = table_under(ARCHITECTURE, "**Everything that grows has a named maximum.**")
    counted = [value(ast.parse(how.strip("`").replace(TIMES, "*"), mode="eval").body) for _, how, _ in rows]
    assert [size / MIB for size in counted] == [float(shown) for _, _, shown in rows]
    assert sum(counted) / MIB == float(total[2])


def test_sizes_beside_names_are_right() -> None:
    shown = re.findall(r"`([A-Z_]+)`\s+\((\d+)\s+MiB\)", ARCHITECTURE)
    assert len(shown) == 4
    assert [(name, constants()[name]) for name, _ in shown] == [(name, int(size) * MIB) for name, size in shown]


OPERATORS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {ast.Add: operator.add, ast.Mult: operator.mul}


def value(node: ast.expr) -> int:
    """Return what a sum or product of names and numbers comes to."""
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](value(node.left), value(node.right))
    return constants()[node.id] if isinstance(node, ast.Name) else int(ast.literal_eval(node))


def constants() -> dict[str, int]:
    modules = (cache, encoder, memory_budget, parquet, reader, records, upload, wrangler)
    known = {name: number for module in modules for name, number in vars(module).items() if isinstance(number, int)}
    return known | {"cores": CORES}


# --- what docstrings call the contract


def test_every_section_of_the_contract_that_is_named_is_in_the_readme() -> None:
    modules = (path.read_text(encoding="utf-8") for path in (*ROOT.glob("csv_transcode/**/*.py"), *ROOT.glob("*.py")))
    found = (re.findall(r"contract\s+sections?\s+([\d and,]+)", text) for text in modules)
    named = {number for numbers in found for number in re.findall(r"\d", " ".join(numbers))}
    listed = ARCHITECTURE.partition("What docstrings call the contract")[2].partition("```")[0]
    assert named <= {number for entry in listed.split("·") for number in re.findall(r"\d", entry.partition("[")[0])}


# --- what infra_setup.md grants


def test_the_role_lists_every_request_and_no_other() -> None:
    listed = {name for cells in table_under(INFRA, "## Role") for name in re.findall(r"`(\w+)`", cells[0])}
    assert listed == set(requests())


def test_the_policy_grants_what_the_table_says() -> None:
    policy = json.loads(code(INFRA, "json", "2012-10-17"))
    granted = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert granted == {cells[1].strip("`") for cells in table_under(INFRA, "## Role")}


def requests() -> Iterator[str]:
    """Yield the S3 operations that the store calls, by S3's names."""
    text = (ROOT / "csv_transcode" / "s3" / "store.py").read_text(encoding="utf-8")
    called = set(re.findall(r"_client\.(\w+)\(", text)) - {"get_paginator"}
    for name in called | set(re.findall(r'get_paginator\("(\w+)"\)', text)):
        yield "".join(word.capitalize() for word in name.split("_"))


# --- reading Markdown


def section(document: str, heading: str) -> str:
    return document.partition(f"{heading}\n")[2].partition("\n## ")[0]


def table_under(document: str, marker: str) -> list[list[str]]:
    """Return the cells of the first table after ``marker``, without its heading."""
    lines = document.partition(marker)[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def code(document: str, language: str, holding: str) -> str:
    """Return the one block of ``language`` that holds the text ``holding``."""
    blocks = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", document)
    (found,) = [block for block in blocks if holding in block]
    return str(found)


def prose(document: str) -> str:
    """Return the document without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", document)

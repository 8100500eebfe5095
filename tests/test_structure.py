"""The shape of the house, held by a machine: which way imports point, who may touch the world, how long a function is.

Every rule reads syntax trees and says file, line and rule. That each can turn red stands at the end, on a line of
code that breaks it.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = "csv_transcode"
DOORS: Final = ("lambda_handler", f"{PACKAGE}.__main__")
FACADE: Final = "s3_data_processor"

# From the outside in: a module imports from further in, from its own folder, or, in the core, from its neighbours.
LAYERS: Final[tuple[tuple[str, ...], ...]] = (
    ("__main__",),
    ("lambda_handler", "cli"),
    ("s3_data_processor",),
    ("conversion",),
    ("outputs",),
    ("affinity", "concurrency", "fanout", "pipeline", "commit", "frames"),
    ("decode", "formats", "s3", "aws", "local"),
    (
        *("backfill", "backfill_plan", "deadline", "events", "keys", "manifest", "map_results", "memory_budget"),
        *("metrics", "payloads", "report"),
        *("powertools", "setting_kinds", "settings", "stages", "telemetry", "tracing"),
    ),
    ("errors", "runtime", "schema"),
    ("charsets", "kernels", "rejects"),
)
CORE: Final = LAYERS[-3]
ONLY_FOR: Final = {"aws": "cli", "local": "cli", "powertools": "lambda_handler"}  # what one module alone may import
BYTES_ONLY: Final = ("decode", "formats")  # take bytes or batches and give bytes or batches
MAY_KNOW_BYTES_ONLY: Final = ("charsets", "errors", "kernels", "rejects", "schema")

AWS_SDK: Final = ("boto3", "botocore", "s3transfer", "awscrt")
# What a conversion asks of S3, and what only the command line asks, of Step Functions and the like: the function, whose
# start counts, loads one of them.
SDK_ADAPTERS: Final = ("s3", "aws")
SLOW_TO_IMPORT: Final = ("pandas", "awswrangler")
SLOW_TO_START: Final = (*SLOW_TO_IMPORT, "pyarrow.compute")  # of the function; the command line takes its time
AT_HOME: Final = {"aws_lambda_powertools": "powertools", "opentelemetry": "tracing"}  # in one module each
CLOCK_CHANCE_THREADS: Final = (
    "threading",
    "_thread",
    "multiprocessing",
    "asyncio",
    "time",
    "random",
    "secrets",
    "uuid",
)
POOLS: Final = ("ThreadPoolExecutor", "ProcessPoolExecutor", "InterpreterPoolExecutor")
NOW: Final = ("now", "utcnow", "today", "urandom")
ENVIRONMENT: Final = ("environ", "environb", "getenv", "putenv")

FUNCTION_LINES_MAX: Final = 50
FUNCTION_LINES_MEDIAN_MAX: Final = 12


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    path: Path  # from the project's root
    tree: ast.Module

    @property
    def name(self) -> str:
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")

    @property
    def area(self) -> str:
        """The folder or module of the package that it belongs to, as in LAYERS."""
        parts = self.name.split(".")
        return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else parts[0]

    def at(self, node: ast.AST, rule: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {rule}"


@dataclass(frozen=True)
class Import:
    """One module that another imports, and how."""

    node: ast.stmt
    name: str
    deferred: bool  # inside a function
    for_types: bool  # under TYPE_CHECKING

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


@cache
def imports(module: Module) -> tuple[Import, ...]:
    """Return every import; of ``from a import b`` both ``a`` and ``a.b``, since ``b`` may be a module."""
    return tuple(_imports(module.tree, deferred=False, for_types=False))


def _imports(parent: ast.AST, *, deferred: bool, for_types: bool) -> Iterator[Import]:
    for node in ast.iter_child_nodes(parent):
        inner_deferred = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inner_types = for_types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        if isinstance(node, ast.Import):
            yield from (Import(node, alias.name, deferred, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield Import(node, origin, deferred, for_types)
            yield from (Import(node, f"{origin}.{alias.name}", deferred, for_types) for alias in node.names)
        else:
            yield from _imports(node, deferred=inner_deferred, for_types=inner_types)


# --- the rules: each yields what breaks it


def arrows_point_inwards(module: Module) -> Iterator[str]:
    if module.area == PACKAGE:  # the package's own __init__, which has nothing to import
        return
    if module.area not in _depths():
        yield f"{module.path}:1: {module.area!r} has no place in LAYERS"
        return
    for used in imports(module):
        area = _area(used.name)
        if area in _depths() and area != module.area and not _may_import(module.area, area):
            yield module.at(used.node, f"{module.area} must not import {area}: arrows point inwards")
        if area in ONLY_FOR and module.area not in (area, ONLY_FOR[area]):
            yield module.at(used.node, f"{area} is for {ONLY_FOR[area]} only")


def decode_and_formats_know_bytes_only(module: Module) -> Iterator[str]:
    if module.area not in BYTES_ONLY:
        return
    for used in imports(module):
        area = _area(used.name)
        if area in _depths() and area not in (module.area, *MAY_KNOW_BYTES_ONLY):
            yield module.at(used.node, f"{module.area} knows only {', '.join(MAY_KNOW_BYTES_ONLY)}, not {area}")
        if used.top in ("os", "socket", "pathlib", "tempfile", "concurrent", "logging", *AWS_SDK):
            yield module.at(used.node, f"{module.area} knows no {used.top}: bytes in, bytes out")


def only_the_adapters_know_the_sdk(module: Module) -> Iterator[str]:
    for used in imports(module):
        if used.top in AWS_SDK and module.area not in SDK_ADAPTERS:
            yield module.at(used.node, f"{used.top} belongs in {PACKAGE}/{' or '.join(SDK_ADAPTERS)}")


def logs_metrics_and_traces_have_one_module_each(module: Module) -> Iterator[str]:
    for used in imports(module):
        if used.top in AT_HOME and module.area != AT_HOME[used.top]:
            yield module.at(used.node, f"{used.top} belongs in {PACKAGE}/{AT_HOME[used.top]}.py")


def slow_imports_are_deferred(module: Module) -> Iterator[str]:
    for used in imports(module):
        if used.top in SLOW_TO_IMPORT and not (used.deferred or used.for_types):
            yield module.at(used.node, f"{used.top} costs a cold start: import it in the function that needs it")


def clock_chance_and_threads_come_from_the_runtime(module: Module) -> Iterator[str]:
    if module.area == "runtime":
        return
    for used in imports(module):
        if (used.top in CLOCK_CHANCE_THREADS or used.name.split(".")[-1] in POOLS) and not used.for_types:
            yield module.at(used.node, f"{used.name} is Runtime's: take it as an argument")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in (*NOW, *POOLS):
            yield module.at(node, f".{node.attr} is Runtime's: take it as an argument")


def only_the_doors_read_the_environment(module: Module) -> Iterator[str]:
    if module.name in DOORS:
        return
    for node in ast.walk(module.tree):
        names = [node.attr] if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os" else []
        names += (
            [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) and node.module == "os" else []
        )
        for name in set(names).intersection(ENVIRONMENT):
            yield module.at(node, f"os.{name} belongs in {' and '.join(DOORS)}")


def functions_fit_on_a_screen(module: Module) -> Iterator[str]:
    for node, lines in function_lines(module):
        if lines > FUNCTION_LINES_MAX:
            yield module.at(node, f"{node.name} has {lines} lines, {FUNCTION_LINES_MAX} are the limit")


def modules_say_what_they_are(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.path}:1: no module docstring"


RULES: Final[tuple[Callable[[Module], Iterator[str]], ...]] = (
    arrows_point_inwards,
    decode_and_formats_know_bytes_only,
    only_the_adapters_know_the_sdk,
    logs_metrics_and_traces_have_one_module_each,
    slow_imports_are_deferred,
    clock_chance_and_threads_come_from_the_runtime,
    only_the_doors_read_the_environment,
    functions_fit_on_a_screen,
    modules_say_what_they_are,
)


def function_lines(module: Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1


@cache
def _depths() -> dict[str, int]:
    return {area: depth for depth, areas in enumerate(LAYERS) for area in areas}


def _area(imported: str) -> str:
    parts = imported.split(".")
    if parts[0] == PACKAGE:
        return parts[1] if len(parts) > 1 else ""
    return parts[0]


def _may_import(area: str, other: str) -> bool:
    return _depths()[other] > _depths()[area] or (area in CORE and other in CORE)


# --- the house


@cache
def product() -> tuple[Module, ...]:
    files = [
        file for file in (*ROOT.glob(f"{PACKAGE}/**/*.py"), *ROOT.glob("*.py")) if not file.name.startswith("test_")
    ]
    return tuple(Module(file.relative_to(ROOT), ast.parse(file.read_text(encoding="utf-8"))) for file in sorted(files))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Callable[[Module], Iterator[str]]) -> None:
    broken = [violation for module in product() for violation in rule(module)]
    assert not broken, "\n" + "\n".join(dict.fromkeys(broken))


def test_no_import_goes_in_a_circle() -> None:
    graph = {module.name: _imported_modules(module) for module in product()}
    assert _circle(graph) == []


def test_half_of_the_functions_are_a_few_lines() -> None:
    lengths = [lines for module in product() for _, lines in function_lines(module)]
    assert statistics.median(lengths) < FUNCTION_LINES_MEDIAN_MAX


@pytest.mark.parametrize("door", ["lambda_handler", "s3_data_processor", f"{PACKAGE}.__main__"])
def test_a_fresh_process_starts_without_what_is_slow_to_import(door: str) -> None:
    slow = SLOW_TO_IMPORT if door.startswith(PACKAGE) else SLOW_TO_START
    code = f"import sys, {door}; print(*sorted(set({slow!r}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


CONVERTING: Final = """
import io, sys
from concurrent.futures import ThreadPoolExecutor
import lambda_handler, s3_data_processor
from csv_transcode.pipeline import Plan, Pools, transcode

class Target(io.BytesIO):
    def finish(self): pass
    def abort(self): pass

source = b"".join([
    b"id,name,exact,amount,weight,small,paid,day,local,utc,nothing\\n",
    b'1,"x, y",12345678901234567.10,17.00,0.1,1e-05,true,2026-11-23,2026-11-23 12:00:05.25,2026-11-23T12:00:05Z,\\n',
    b'-2,more than z\\xc3\\xa9,1.25,3.50,,2.25,false,2026-11-24,,2026-11-24T12:00:05Z,\\n',
])
targets = {"parquet": Target(), "avro": Target(), "rejects": Target()}
with ThreadPoolExecutor(1) as pool:
    transcode(lambda: [source], lambda: targets, Plan(), Pools(pool, pool, 1))
assert targets["parquet"].getvalue()[-4:] == b"PAR1" and targets["avro"].getvalue()[:3] == b"Obj"
print(*sorted({slow} & set(sys.modules)))
"""  # every type of a column that is inferred, nulls and a quoted cell


def test_converting_in_a_fresh_process_imports_nothing_that_is_slow() -> None:
    code = CONVERTING.replace("{slow}", f"set({SLOW_TO_START!r})")
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


def test_no_file_speaks_of_one_machine() -> None:
    words = [re.compile(word) for word in ("/" + "work/", "/" + "root/", "pypi" + r"\.org", "python" + "hosted")]
    broken = [
        f"{path}:{number}: {word.pattern}"
        for path, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), 1)
        for word in words
        if word.search(line)
    ]
    assert not broken, "\n" + "\n".join(broken)


def tracked_texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listed.returncode:
        pytest.skip("not a git work tree")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # not one that is deleted and not yet committed so
            content = (ROOT / name).read_bytes()
            if b"\0" not in content:
                yield name, content.decode("utf-8", "replace")


def _imported_modules(module: Module) -> set[str]:
    names = {candidate.name for candidate in product()}
    return {used.name for used in imports(module) if used.name in names and not (used.for_types or used.deferred)}


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Return a circle as the names along it, or nothing: leaves are taken away until none is left."""
    graph = dict(graph)
    while leaves := [name for name, used in graph.items() if not used & graph.keys() - {name}]:
        for name in leaves:
            del graph[name]
    return sorted(graph)


# --- the lists of what is installed


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-emulators.txt", "requirements-fuzz.txt"]
)
def test_every_requirement_is_one_version(name: str) -> None:
    loose = [str(each) for each in requirements(name) if not re.fullmatch(r"==[^,*]+", str(each.specifier))]
    assert not loose


def test_what_runs_in_lambda_depends_on_no_interpreter() -> None:
    marked = [str(each) for each in requirements("requirements.txt") if each.marker]
    assert not marked


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_list_names_everything_that_it_needs(name: str) -> None:
    listed = {canonicalize_name(each.name) for each in requirements(name)}
    missing = {
        f"{needed} for {each.name}" for each in requirements(name) for needed in needs(each) if needed not in listed
    }
    assert not missing


def requirements(name: str) -> Iterator[Requirement]:
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from requirements(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            yield Requirement(line)


def needs(requirement: Requirement) -> Iterator[str]:
    """Yield what an installed distribution needs on this interpreter, and from 3.11 to 3.14."""
    if requirement.marker and not requirement.marker.evaluate():
        return
    for text in metadata.requires(requirement.name) or ():
        needed = Requirement(text)
        if needed.marker is None or any(
            needed.marker.evaluate({"extra": extra, "python_version": version, "python_full_version": f"{version}.0"})
            for extra in (requirement.extras or {""})
            for version in ("3.11", "3.12", "3.13", "3.14")
        ):
            yield canonicalize_name(needed.name)


# --- and every rule can turn red


BROKEN: Final[tuple[tuple[Callable[[Module], Iterator[str]], str, str], ...]] = (
    (arrows_point_inwards, "csv_transcode/keys.py", "from csv_transcode.s3.client import make_client"),
    (arrows_point_inwards, "csv_transcode/errors.py", "from csv_transcode.schema import Schema"),
    (arrows_point_inwards, "csv_transcode/s3/client.py", "from csv_transcode import pipeline"),
    (arrows_point_inwards, "csv_transcode/formats/parquet.py", "import csv_transcode.decode.records"),
    (arrows_point_inwards, "csv_transcode/fanout.py", "from s3_data_processor import S3DataProcessor"),
    (arrows_point_inwards, "csv_transcode/formats/memory.py", "from csv_transcode.local import LocalTarget"),
    (arrows_point_inwards, "csv_transcode/commit.py", "from csv_transcode.conversion import ObjectConverter"),
    (arrows_point_inwards, "lambda_handler.py", "from csv_transcode.local import LocalTarget"),
    (arrows_point_inwards, "csv_transcode/helpers.py", ""),
    (decode_and_formats_know_bytes_only, "csv_transcode/decode/records.py", "import os"),
    (decode_and_formats_know_bytes_only, "csv_transcode/decode/records.py", "from concurrent.futures import Executor"),
    (
        decode_and_formats_know_bytes_only,
        "csv_transcode/formats/avro/codecs.py",
        "from csv_transcode.settings import Settings",
    ),
    (only_the_adapters_know_the_sdk, "csv_transcode/pipeline.py", "def f():\n    import boto3"),
    (only_the_adapters_know_the_sdk, "csv_transcode/cli/backfill.py", "import botocore.session"),
    (arrows_point_inwards, "s3_data_processor.py", "from csv_transcode.aws.backfills import Backfills"),
    (only_the_adapters_know_the_sdk, "s3_data_processor.py", "from botocore.exceptions import ClientError"),
    (logs_metrics_and_traces_have_one_module_each, "lambda_handler.py", "from aws_lambda_powertools import Logger"),
    (logs_metrics_and_traces_have_one_module_each, "csv_transcode/pipeline.py", "from opentelemetry import trace"),
    (arrows_point_inwards, "csv_transcode/telemetry.py", "from csv_transcode.powertools import Powertools"),
    (slow_imports_are_deferred, "s3_data_processor.py", "import pandas as pd"),
    (slow_imports_are_deferred, "csv_transcode/s3/fetch.py", "if sys.version_info:\n    from awswrangler import s3"),
    (clock_chance_and_threads_come_from_the_runtime, "csv_transcode/fanout.py", "import time"),
    (
        clock_chance_and_threads_come_from_the_runtime,
        "csv_transcode/fanout.py",
        "from concurrent.futures import ThreadPoolExecutor",
    ),
    (clock_chance_and_threads_come_from_the_runtime, "csv_transcode/report.py", "stamp = datetime.datetime.now()"),
    (only_the_doors_read_the_environment, "csv_transcode/settings.py", "import os\nhome = os.environ['HOME']"),
    (only_the_doors_read_the_environment, "s3_data_processor.py", "from os import getenv"),
    (functions_fit_on_a_screen, "csv_transcode/keys.py", "def f():\n" + "    pass\n" * 50),
    (modules_say_what_they_are, "csv_transcode/keys.py", "import re"),
)
FINE: Final[tuple[tuple[Callable[[Module], Iterator[str]], str, str], ...]] = (
    (slow_imports_are_deferred, "s3_data_processor.py", "def f():\n    import pandas"),
    (slow_imports_are_deferred, "s3_data_processor.py", "if TYPE_CHECKING:\n    import pandas"),
    (only_the_doors_read_the_environment, "lambda_handler.py", "import os\nhome = os.environ['HOME']"),
    (only_the_adapters_know_the_sdk, "csv_transcode/s3/client.py", "import boto3"),
    (only_the_adapters_know_the_sdk, "csv_transcode/aws/backfills.py", "import boto3"),
    (arrows_point_inwards, "csv_transcode/cli/convert.py", "from csv_transcode.local import LocalTarget"),
    (functions_fit_on_a_screen, "csv_transcode/keys.py", "def f():\n" + "    pass\n" * 49),
)


@pytest.mark.parametrize(
    ("rule", "path", "code"), BROKEN, ids=[f"{rule.__name__}-{code[:40]}" for rule, _, code in BROKEN]
)
def test_rule_turns_red(rule: Callable[[Module], Iterator[str]], path: str, code: str) -> None:
    assert list(rule(Module(Path(path), ast.parse(code))))


@pytest.mark.parametrize(("rule", "path", "code"), FINE, ids=[f"{rule.__name__}-{code[:40]}" for rule, _, code in FINE])
def test_rule_lets_pass(rule: Callable[[Module], Iterator[str]], path: str, code: str) -> None:
    assert not list(rule(Module(Path(path), ast.parse(code))))


def test_a_circle_is_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]

"""What goes into a package, where it comes from, and that nothing but that decides its bytes."""

from __future__ import annotations

import ast
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from infra.package import archives, bytecode, contents, inspection, stripping
from infra.package.building import SLIM_BYTES_MAX, UNSTRIPPED_BYTES_MAX, Package, TooLargeError
from infra.package.locks import REQUIREMENTS, ROOT, LockError, entries, lock_of, require_agreement
from infra.package.stripping import Stripped, loads
from infra.package.target import MACHINES, PYTHONS, Target, architecture_here, interpreter, running_python

if TYPE_CHECKING:
    from collections.abc import Iterator

ARM: Final = Target("arm64")
HERE: Final = Target(architecture_here(), running_python())


# --- locks


@pytest.mark.parametrize("architecture", MACHINES)
def test_the_lock_agrees_with_the_requirements(architecture: str) -> None:
    require_agreement(REQUIREMENTS, lock_of(Target(architecture)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("pyarrow==", "pyarrow==0."), "pyarrow: 0.25.0.1 required, 25.0.1 locked"),
        (lambda text: text + "leftpad==1.0\n", "leftpad: 1.0 required, not locked"),
        (lambda text: re.sub("six==.*\n", "", text), "six: not required, 1.17.0 locked"),
    ],
)
def test_a_lock_that_does_not_agree_is_refused(tmp_path: Path, change: object, told: str) -> None:
    assert callable(change)
    changed = tmp_path / "requirements.txt"
    changed.write_text(change(REQUIREMENTS.read_text()))
    with pytest.raises(LockError, match=f"make package-lock:\n.*{re.escape(told)}"):
        require_agreement(changed, lock_of(ARM))


@pytest.mark.parametrize("architecture", MACHINES)
def test_what_is_compiled_is_locked_for_every_python(architecture: str) -> None:
    for name in ("pyarrow", "numpy", "pandas", "fastavro", "msgspec"):
        assert entries(lock_of(Target(architecture)))[name].count("--hash=sha256:") == len(PYTHONS)


def test_no_lock_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="make package-lock"):
        entries(tmp_path / "arm64.txt")


# --- what is left out


@pytest.mark.parametrize(
    ("path", "full", "slim"),
    [
        ("pyarrow/libarrow.so.2500", False, False),
        ("pyarrow/libarrow_substrait.so.2500", False, False),  # the others are linked with it
        ("pyarrow/libarrow_python.so.2500", False, False),  # the name that they ask for
        ("pyarrow/libarrow_python.so", True, True),
        ("pyarrow/libarrow_python.so.2500.1.0", True, True),
        ("pyarrow/libarrow_flight.so.2500", True, True),
        ("pyarrow/include/arrow/api.h", True, True),
        ("pandas/tests/io/test_s3.py", True, True),
        ("pandas/core/frame.py", False, False),
        ("numpy/ma/core.py", False, True),
        ("botocore/data/s3/2006-03-01/service-2.json.gz", False, False),
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", True, True),
        ("botocore/data/endpoints.json", False, False),
        ("aws_lambda_powertools/utilities/jmespath_utils/__init__.py", False, False),
        ("aws_lambda_powertools/utilities/__init__.py", False, False),
        ("aws_lambda_powertools/utilities/parser/models/s3.py", True, True),
        ("numpy-2.4.6.dist-info/METADATA", False, False),
        ("numpy-2.4.6.dist-info/RECORD", True, True),
    ],
)
def test_what_is_left_out(path: str, *, full: bool, slim: bool) -> None:
    assert (contents.is_left_out(path, slim=False), contents.is_left_out(path, slim=True)) == (full, slim)


def test_folders_go_with_their_last_file(tmp_path: Path) -> None:
    for name in ("pandas/tests/io/test_s3.py", "pandas/core/frame.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    contents.slim_down(tmp_path, slim=False)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "pandas",
        "pandas/core",
        "pandas/core/frame.py",
    ]


def test_every_service_that_the_program_calls_is_described() -> None:
    called = {name for path in ROOT.glob("csv_transcode/**/*.py") for name in services_in(path.read_text())}
    assert "s3" in called
    assert called <= contents.SERVICES


def services_in(code: str) -> Iterator[str]:
    """Yield the services that ``client("…")``, ``create_client("…")`` or ``resource("…")`` name."""
    calls = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and node.args)
    for call in calls:
        first = call.args[0]
        if getattr(call.func, "attr", "") in {"client", "create_client", "resource"} and isinstance(
            first, ast.Constant
        ):
            yield str(first.value)


# --- stripping


def test_a_library_that_would_not_load_is_seen() -> None:
    library = (Path(sys.base_prefix) / "lib").glob("libpython3*.so*")
    content = bytearray(next(library, Path(sys.executable).resolve()).read_bytes())
    assert loads(bytes(content))
    with_segments(content, shift=1)
    assert not loads(bytes(content))


def with_segments(content: bytearray, *, shift: int) -> None:
    """Move the first loaded segment's place in the file, in its header alone."""
    (at,) = stripping._SEGMENTS_OFFSET.unpack_from(content)
    (count,) = stripping._SEGMENTS_COUNT.unpack_from(content)
    for number in range(count):
        kind, flags, offset, *rest = stripping._SEGMENT.unpack_from(content, at + number * stripping._SEGMENT.size)
        if kind == stripping._LOADED:
            place = at + number * stripping._SEGMENT.size
            stripping._SEGMENT.pack_into(content, place, kind, flags, offset + shift, *rest)
            return


def test_without_a_program_that_strips_nothing_is_stripped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stripping.strip_libraries(tmp_path, ARM) == Stripped(None)
    assert "llvm-strip" in Stripped(None).told


def test_the_machine_s_own_strip_is_for_its_own_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(name for name in MACHINES if name != HERE.architecture)
    (tmp_path / "strip").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stripping.strip_tool(HERE) == str(tmp_path / "strip")
    assert stripping.strip_tool(Target(other)) is None


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (HERE, ["library.so: needs libn.so.1, which is not there"]),
        (Target(next(name for name in MACHINES if name != HERE.architecture)), ["library.so: for EM_", "needs libn"]),
    ],
    ids=["here", "elsewhere"],
)
def test_a_library_that_lacks_another_or_is_for_another_machine_is_seen(
    tmp_path: Path, target: Target, told: list[str]
) -> None:
    (library,) = Path(msgspec.__file__).parent.glob("_core*.so")  # any does that needs the system's libraries only
    content = library.read_bytes()
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as opened:
        opened.writestr("library.so", content.replace(b"libc.so.6", b"libn.so.1"))
    found = inspection.problems(tmp_path / "whole.zip", target)
    assert len(found) == len(told)
    assert all(part in line for part, line in zip(told, found, strict=True))


# --- byte code and zips


def test_byte_code_is_never_checked_against_its_source_and_names_no_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "module.py").write_text("def f():\n    return {'a', 'b', 'c'} and __file__\n")
    assert bytecode.compile_folder(tmp_path, running_python())
    (compiled,) = tmp_path.rglob("*.pyc")
    content = compiled.read_bytes()
    assert int.from_bytes(content[4:8], "little") == 0b01  # a hash, and nobody compares it
    assert str(tmp_path).encode() not in content
    assert b"inner/module.py" in content


def test_without_the_interpreter_there_is_no_byte_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    absent = next(python for python in PYTHONS if python != running_python())
    (tmp_path / "module.py").touch()
    assert interpreter(absent) is None
    assert not bytecode.compile_folder(tmp_path, absent)
    assert interpreter(running_python()) == Path(sys.executable)


def test_a_zip_is_the_same_whatever_the_files_dates_modes_and_order(tmp_path: Path) -> None:
    for place, names, mode, seconds in (("one", "abc", 0o600, 1e9), ("other", "cba", 0o755, 1.5e9)):
        for name in names:
            path = tmp_path / place / "sub" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name * 1000)
            path.chmod(mode)
            os.utime(path, (seconds, seconds))
        archives.write_zip(tmp_path / f"{place}.zip", archives.files_in(tmp_path / place, "python/"))
    assert archives.digest(tmp_path / "one.zip") == archives.digest(tmp_path / "other.zip")
    assert archives.unzipped_bytes(tmp_path / "one.zip") == 3000
    with zipfile.ZipFile(tmp_path / "one.zip") as opened:
        assert opened.namelist() == ["python/sub/a", "python/sub/b", "python/sub/c"]
        assert {entry.external_attr >> 16 for entry in opened.infolist()} == {0o100644}


# --- limits


@pytest.mark.parametrize(
    ("slim", "tool", "size", "allowed"),
    [
        (True, "strip", SLIM_BYTES_MAX, True),
        (True, "strip", SLIM_BYTES_MAX + 1, False),
        (False, "strip", SLIM_BYTES_MAX + 1, True),
        (False, "strip", 195_000_001, False),
        (False, None, 195_000_001, True),
        (False, None, UNSTRIPPED_BYTES_MAX + 1, False),
    ],
)
def test_a_package_over_its_limit_is_refused(
    tmp_path: Path, *, slim: bool, tool: str | None, size: int, allowed: bool
) -> None:
    archive = tmp_path / "whole.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("large", b"")
        opened.filelist[0].file_size = size  # says so, and is not
    package = Package(ARM, slim, archive, archive, archive, Stripped(tool), compiled=True)
    if allowed:
        package.require_size()
    else:
        with pytest.raises(TooLargeError, match=f"{size:,} bytes unzipped"):
            package.require_size()

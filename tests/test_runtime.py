"""What the machine says of itself: how much memory there is, and how much is in use."""

from __future__ import annotations

import gc
import mmap
import sys
from typing import TYPE_CHECKING, Final

import pytest

from csv_transcode.runtime import Runtime, memory_bytes, resident_bytes, uncollected

if TYPE_CHECKING:
    from pathlib import Path

MIB: Final = 1 << 20
V2: Final = "sys/fs/cgroup"
V1: Final = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "max\n"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": f"{300 * MIB}\n"}, 300),
        ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/memory.max": f"{9 * MIB}", f"{V2}/memory.max": "max"}, 9),
        ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/memory.max": "max", f"{V2}/a/memory.max": f"{8 * MIB}"}, 8),
        ({"proc/self/cgroup": "0::/not/here\n", f"{V2}/memory.max": f"{7 * MIB}"}, 7),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/job\n0::/\n",
                f"{V1}/memory.limit_in_bytes": "9223372036854771712\n",
                f"{V1}/job/memory.limit_in_bytes": f"{6 * MIB}\n",
            },
            6,
        ),
        ({"proc/self/cgroup": "4:memory:/job\n", f"{V1}/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "\n"}, None),
    ],
    ids=[
        *("no groups", "no limit", "a limit", "one of an inner group", "one of an outer group"),
        *("in a container", "version 1", "version 1, no limit", "nothing to read"),
    ],
)
def test_memory_is_the_least_that_any_group_allows(tmp_path: Path, files: dict[str, str], mib: int | None) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    machine = memory_bytes(tmp_path / "nothing")
    assert machine > 9 * MIB
    assert memory_bytes(tmp_path) == (machine if mib is None else mib * MIB)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says it")
def test_what_is_in_use_grows_with_what_is_held() -> None:
    before = resident_bytes()
    with mmap.mmap(-1, 64 * MIB) as held:  # from the system, and not from memory that was given back and kept
        held.write(b"x" * len(held))
        assert before + 48 * MIB < resident_bytes() < Runtime().memory_bytes()


@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_collected_where_all_of_it_stays(*, enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(KeyError), uncollected():  # noqa: PT012 - that it ends an error, too, is what is asked
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()

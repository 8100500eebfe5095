"""What a process of our own does with memory that is free: seen in a fresh process, since it holds for all of it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, json
import pyarrow as pa
from csv_transcode.formats.memory import use_lean_allocators

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

def mapped():
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo2
    return libc.mallinfo2().hblkhd

use_lean_allocators()
before = mapped()
kept = bytearray(8 << 20)
after = mapped()
print(json.dumps({"backend": pa.default_memory_pool().backend_name, "mapped": after - before}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the rest of this is glibc's")
def test_arrow_has_jemalloc_and_large_arrays_come_from_a_heap_that_keeps_them() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    assert found == {"backend": "jemalloc", "mapped": 0}

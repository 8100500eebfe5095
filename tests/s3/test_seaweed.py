"""The real server keeps to this machine, and nothing of it outlives whoever started it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import not_installed
from tests.seaweed import NotInstalledError, seaweed, weed_binary

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.seaweed import SeaweedServer

ROOT = Path(__file__).parents[2]
LISTENING = "0A"
LISTENER = re.compile(r"port(?:\.grpc)?=[1-9]")
PORTS = re.compile(r"-(\w+)\.port\.grpc=(\d+)")

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads what Linux says of its sockets")


def sockets_of(pid: int) -> set[str]:
    """Return the inodes of the process's sockets."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            found.add(str(descriptor.readlink()))
    return {link[len("socket:[") : -1] for link in found if link.startswith("socket:[")}


def listening(pid: int) -> list[str]:
    """Return the addresses at which the process listens, as /proc has them: hexadecimal, in the machine's order."""
    mine = sockets_of(pid)
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
    ]
    return [row[1].partition(":")[0] for row in rows[1:] if row[3] == LISTENING and row[9] in mine]


def test_it_listens_on_the_loopback_interface_only(seaweed_server: SeaweedServer) -> None:
    parts = LISTENER.findall(Path(f"/proc/{seaweed_server.pid}/cmdline").read_text())
    assert len(parts) == 10
    wait_for(lambda: len(listening(seaweed_server.pid)) >= len(parts), "some of its parts do not listen")
    assert set(listening(seaweed_server.pid)) == {"0100007F"}


@pytest.mark.integration
@pytest.mark.parametrize("ending", ["block", "exception", "kill"])
def test_it_ends_with_whoever_started_it(tmp_path: Path, ending: str) -> None:
    try:
        weed_binary()
    except NotInstalledError as error:
        not_installed(str(error))
    program = f"""
import os, signal, pathlib
from tests.seaweed import seaweed
with seaweed(pathlib.Path({str(tmp_path)!r})) as server:
    print(server.pid, flush=True)
    print(pathlib.Path("/proc", str(server.pid), "cmdline").read_text(), flush=True)
    if {ending!r} == "exception": raise SystemExit(1)
    if {ending!r} == "kill": os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == {"block": 0, "exception": 1, "kill": -signal.SIGKILL}[ending], done.stderr
    pid, command = done.stdout.split("\n", 1)
    wait_for(lambda: ended(int(pid)), "it is still there")
    leftovers = [Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock") for part, port in PORTS.findall(command)]  # noqa: S108
    assert len(leftovers) >= 5
    wait_for(lambda: not any(leftover.exists() for leftover in leftovers), "it has left sockets")


def ended(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(holds: Callable[[], bool], otherwise: str) -> None:
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail(otherwise)


def test_without_the_binary_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("S3_EMULATORS", "/nowhere")
    with pytest.raises(NotInstalledError, match="no /nowhere/bin/weed"), seaweed(tmp_path):
        pass


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_the_binary_a_test_is_skipped_unless_all_are_to_run(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("EMULATORS_REQUIRED", required)
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match="no weed") as raised:
        not_installed("no weed")
    assert raised.type is outcome


def test_make_test_is_to_run_all() -> None:
    commands = re.findall(r"(?m)^\t(.*-m pytest.*)$", (ROOT / "Makefile").read_text())
    assert [
        command.startswith("EMULATORS_REQUIRED=1 ") for command in commands if "not integration" not in command
    ] == [True]

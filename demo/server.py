"""MiniStack on the loopback interface: an AWS for the template, as long as a ``with`` lasts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON: Final = Path(__file__).parent.parent / ".venv-emulators" / "bin" / "python"
START_SECONDS_MAX: Final = 20.0
STOP_SECONDS_MAX: Final = 5.0
LOOPBACK: Final = "127.0.0.1"
LOG_NAME: Final = "ministack.log"


class ServerError(Exception):
    """The server did not come up; the message ends with its own last words."""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Yield the URL of a server that keeps everything it writes under ``folder``, and end it with all its workers."""
    port = _free_port()
    log = folder / LOG_NAME
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "ministack"],
            env=_environment(folder, port),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers join its process group, so that they end with it
        )
    try:
        url = f"http://{LOOPBACK}:{port}"
        _wait_until_ready(url, process, log)
        yield url
    finally:
        _stop(process)


def _environment(folder: Path, port: int) -> dict[str, str]:
    # Nothing of the caller's AWS configuration or proxies: the workers inherit what stands here. Without BIND_HOST the
    # server listens on every interface.
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS_MAX
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > give_up:
            message = (
                f"MiniStack did not start within {START_SECONDS_MAX:.0f} s:\n{log.read_text(errors='replace')[-2000:]}"
            )
            raise ServerError(message)
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1):  # noqa: S310 - a URL made above
            return True
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers that outlived it

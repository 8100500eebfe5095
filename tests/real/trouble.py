"""Trouble between the function and a real S3 server, made by other people's proxies.

``envoy(server)`` answers 503, delays, and cuts connections off, by Envoy's own fault filter, switched while it runs;
``faulty(server)`` corrupts and throttles the bytes themselves. Both listen on the loopback interface only, and end with
the block or with whoever started them.
"""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from tests.seaweed import LOOPBACK, NotInstalledError, _free_ports, _guarded, weed_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.seaweed import SeaweedServer

START_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.05
DELAY_MILLISECONDS: Final = 300
CONNECTION_SECONDS: Final = 0.8  # that one lasts where connections are cut: with the delay, many end within a request
DELAYS: Final = "delay_percent"
DELAY: Final = "delay_milliseconds"
ABORTS: Final = "abort_percent"
_STATISTICS: Final = ("fault.aborts_injected", "fault.delays_injected", "downstream_cx_max_duration_reached")
_FAULTY_PROXY: Final = Path(__file__).with_name("faulty_proxy.py")


@dataclass(frozen=True)
class Envoy:
    """A running Envoy: one way to S3 that only its faults disturb, and one that also cuts connections off."""

    steady_url: str
    cutting_url: str
    admin_port: int

    def switch(
        self, *, unavailable_percent: int = 0, delayed_percent: int = 0, delayed_milliseconds: int = DELAY_MILLISECONDS
    ) -> None:
        """From now on answer so many requests of a hundred with 503, and delay so many."""
        values = urlencode({ABORTS: unavailable_percent, DELAYS: delayed_percent, DELAY: delayed_milliseconds})
        answer = self._ask("POST", f"/runtime_modify?{values}")
        if answer.strip() != "OK":
            message = f"Envoy did not take the faults: {answer}"
            raise RuntimeError(message)

    def counts(self) -> dict[str, int]:
        """Return how much trouble it has made so far: answers 503, delays, connections cut off."""
        stats = json.loads(self._ask("GET", "/stats?format=json&type=Counters&filter=^http[.]troubled"))["stats"]
        values = {each["name"].removeprefix("http.troubled."): each.get("value", 0) for each in stats}
        return dict(zip(("unavailable", "delayed", "cut"), (values[name] for name in _STATISTICS), strict=True))

    def _ask(self, method: str, path: str) -> str:
        connection = HTTPConnection(LOOPBACK, self.admin_port, timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@contextmanager
def envoy(server: SeaweedServer) -> Iterator[Envoy]:
    """Run Envoy in front of a server; without faults to begin with."""
    admin, steady, cutting = _free_ports(3)
    target = int(server.endpoint_url.rpartition(":")[2])
    with TemporaryDirectory(prefix="csv-transcode-") as directory:
        config = Path(directory, "envoy.json")
        config.write_text(json.dumps(_configuration(admin, steady, cutting, target)))
        options = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
        with _running([str(_installed("envoy")), "-c", str(config), *options], Path(directory)) as process:
            _await(process, admin, "/ready", Path(directory))
            yield Envoy(f"http://{LOOPBACK}:{steady}", f"http://{LOOPBACK}:{cutting}", admin)


@contextmanager
def faulty(
    server: SeaweedServer, *, corrupted_down: float = 0, corrupted_up: float = 0, bytes_a_second: int = 0
) -> Iterator[str]:
    """Run a proxy that spoils a byte in so many of a hundredth of the pieces it passes on, or passes on few bytes.

    A piece is what one read of at most 64 KiB brings. Yields the address.
    """
    (port,) = _free_ports(1)
    arguments = [server.endpoint_url.rpartition(":")[2], port, corrupted_down, corrupted_up, bytes_a_second]
    with TemporaryDirectory(prefix="csv-transcode-") as directory:
        command = [str(_installed("python")), str(_FAULTY_PROXY), *map(str, arguments)]
        with _running(command, Path(directory)) as process:
            _await(process, port, "/", Path(directory))
            yield f"http://{LOOPBACK}:{port}"


@contextmanager
def _running(command: list[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        with _guarded(process, []):
            yield process
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, path: str, directory: Path) -> None:
    end = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < end:
        connection = HTTPConnection(LOOPBACK, port, timeout=1)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(POLL_SECONDS)
        else:
            return
        finally:
            connection.close()
    message = f"{process.args!r} did not come up:\n{(directory / 'log').read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)


def _installed(program: str) -> Path:
    binary = weed_binary().with_name(program)
    if not binary.is_file():
        message = f"{program} is not installed: no {binary} (requirements-emulators.txt, or set S3_EMULATORS)"
        raise NotInstalledError(message)
    return binary


def _configuration(admin: int, steady: int, cutting: int, target: int) -> dict[str, Any]:
    cluster = {
        "name": "s3",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "s3",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(target)}}]}],
        },
    }
    return {
        "admin": {"address": _address(admin)},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {
            "listeners": [_listener(steady, None), _listener(cutting, CONNECTION_SECONDS)],
            "clusters": [cluster],
        },
    }


def _listener(port: int, connection_seconds: float | None) -> dict[str, Any]:
    lasting = {} if connection_seconds is None else {"max_connection_duration": f"{connection_seconds}s"}
    everything = {"match": {"prefix": "/"}, "route": {"cluster": "s3", "timeout": "0s"}}
    manager = {
        "@type": _type("network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "troubled",
        "drain_timeout": "0.001s",
        "stream_idle_timeout": "0s",
        "common_http_protocol_options": lasting,
        "route_config": {"virtual_hosts": [{"name": "s3", "domains": ["*"], "routes": [everything]}]},
        "http_filters": [_faults(), {"name": "router", "typed_config": {"@type": _type("http.router.v3.Router")}}],
    }
    return {
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _faults() -> dict[str, Any]:
    none = {"numerator": 0}
    return {
        "name": "fault",
        "typed_config": {
            "@type": _type("http.fault.v3.HTTPFault"),
            "delay": {"fixed_delay": f"{DELAY_MILLISECONDS / 1000}s", "percentage": none},
            "abort": {"http_status": 503, "percentage": none},
            "delay_percent_runtime": DELAYS,
            "delay_duration_runtime": DELAY,
            "abort_percent_runtime": ABORTS,
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _type(name: str) -> str:
    return f"type.googleapis.com/envoy.extensions.filters.{name}"

"""An HTTP server on the loopback interface that serves one object and breaks off on demand, at the socket."""

from __future__ import annotations

import os
import re
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ETAG: Final = '"0123456789abcdef"'


class MisbehavingServer(ThreadingHTTPServer):
    """Serves ``content`` at every path.

    ``faults`` holds, for each answer still to come, what befalls it and after how many bytes of its body: ``reset``
    (the connection), ``hang up`` (it ends), ``stall`` (nothing more comes) or ``short`` (fewer bytes than asked for,
    and Content-Length says so). ``ranges`` records what was asked for, ``owners`` whose the bucket was to be.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.faults: list[tuple[str, int] | None] = []
        self.ranges: list[str | None] = []
        self.owners: list[str | None] = []
        self.ignores_ranges = False
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def misbehaving(content: bytes) -> Iterator[MisbehavingServer]:
    server = MisbehavingServer(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MisbehavingServer

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        self.server.owners.append(self.headers.get("x-amz-expected-bucket-owner"))
        fault, count = (self.server.faults.pop(0) if self.server.faults else None) or ("", 0)
        body = self.server.content
        if asked and not self.server.ignores_ranges:
            start, last = (int(number) for number in re.findall(r"\d+", asked))
            body = body[start : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(self.server.content)}")
        else:
            self.send_response(200)
        if fault == "short":
            body = body[:count]
        self.send_header("ETag", ETAG)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:count] if fault else body)
        self._befall(fault)

    def _befall(self, fault: str) -> None:
        if fault == "stall":
            self.server.released.wait(10)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        if fault in ("stall", "reset", "hang up"):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

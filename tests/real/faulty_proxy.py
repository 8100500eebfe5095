"""The proxy of the package ``faulty``, as a program: it spoils bytes in both directions, or lets few of them through.

Run by the emulators' own interpreter: ``faulty_proxy.py TARGET_PORT PORT SPOILED_DOWN SPOILED_UP BYTES_A_SECOND``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from faulty.core.proxy import FaultyProxy  # type: ignore[import-not-found]  # installed for another interpreter
from faulty.middlewares import (  # type: ignore[import-not-found]
    CorruptBytesMiddleware,
    ThrottleMiddleware,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LOOPBACK = "127.0.0.1"
HEAD = b"HTTP/"
HEAD_END = b"\r\n\r\n"
SLICE_BYTES = 16_384


class CorruptBodies(CorruptBytesMiddleware):  # type: ignore[misc]  # as above
    """Spoils the bodies of answers, which S3's checksums guard; the heads (an ETag) nothing but TLS does."""

    async def process(self, chunk: bytes) -> AsyncGenerator[bytes, None]:
        end = chunk.find(HEAD_END) + len(HEAD_END) if chunk.startswith(HEAD) else 0
        if end:
            yield chunk[:end]
        if chunk[end:]:
            async for piece in super().process(chunk[end:]):
                yield piece


def proxy(arguments: list[str]) -> FaultyProxy:
    target, port, bytes_a_second = int(arguments[0]), int(arguments[1]), int(arguments[4])
    made = FaultyProxy(LOOPBACK, port, LOOPBACK, target)
    made.add_ingress_rule(CorruptBodies(float(arguments[2])))
    made.add_egress_rule(CorruptBytesMiddleware(float(arguments[3])))
    if bytes_a_second:
        made.add_ingress_rule(ThrottleMiddleware(bytes_a_second, SLICE_BYTES))
        made.add_egress_rule(ThrottleMiddleware(bytes_a_second, SLICE_BYTES))
    return made


if __name__ == "__main__":
    asyncio.run(proxy(sys.argv[1:]).start())

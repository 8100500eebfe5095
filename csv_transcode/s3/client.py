"""The S3 client: retries, time limits and pool are stated; credentials, region and endpoint come as usual."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.runtime import Runtime
from csv_transcode.s3.retries import BUDGET, repeat_by

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SMALL_BYTES: Final = 1 << 20


def make_client(
    *,
    connections_max: int,
    retries_max: int = 5,
    retry_budget: int = BUDGET,
    connect_timeout_seconds: float = 3,
    read_timeout_seconds: float = 15,
    runtime: Runtime | None = None,
) -> S3Client:
    """Return a client for any number of threads, of which ``connections_max`` find a connection kept open.

    A request is sent at most ``retries_max + 1`` times, and all of them together are repeated for ``retry_budget`` (see
    ``repeat_by``); the waiting between is ``runtime``'s. ``read_timeout_seconds`` is the longest silence of a
    connection, not the longest answer: a stalled socket must not eat the invocation.
    """
    # Imported here because it takes 0.2 s, and asked directly because boto3 adds 0.04 s of resources and transfer
    # managers that nothing here uses; client and configuration are the same.
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    session = botocore.session.get_session()
    config = Config(
        user_agent=session.user_agent(),  # stated, it is not put together anew for every request: an eighth of its CPU
        max_pool_connections=connections_max,
        retries={"mode": "standard", "total_max_attempts": retries_max + 1},
        connect_timeout=connect_timeout_seconds,
        read_timeout=read_timeout_seconds,
        tcp_keepalive=True,
    )
    client: S3Client = session.create_client("s3", config=config)
    client.meta.events.register("request-created.s3.PutObject", _send_small_at_once)
    repeat_by(client, runtime or Runtime(), attempts_max=retries_max + 1, budget=retry_budget)
    return client


def _send_small_at_once(request: Any, **_: object) -> None:  # noqa: ANN401 -- botocore's, imported when it is needed
    """Send a small body without asking first whether it is wanted (``Expect: 100-continue``).

    The SDK asks before every body: a round trip more, and the answer read a byte at a time. That spares the sending of
    what is refused, which for a few kilobytes is no gain.
    """
    size = request.headers.get("X-Amz-Decoded-Content-Length")  # of a body in chunks with a checksum behind: over TLS
    if size is None and isinstance(request.data, BytesIO):
        size = request.data.getbuffer().nbytes
    if size is not None and int(size) < SMALL_BYTES:
        del request.headers["Expect"]

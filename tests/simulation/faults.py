"""What S3, the network and Lambda can do to one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.simulation.server import CHECKSUM

if TYPE_CHECKING:
    from tests.simulation.scheduler import Life
    from tests.simulation.server import Answer, Request

READS: Final = ("GetObject", "HeadObject", "ListObjectsV2", "ListMultipartUploads")
CONDITIONAL: Final = ("if-match", "if-none-match")
HAVE_BODIES: Final = ("PutObject", "UploadPart")

# An answer without the request's having been carried out: status and S3's word.
REFUSALS: Final = {
    "500": (500, "InternalError"),
    "503 SlowDown": (503, "SlowDown"),
    "409 ConditionalRequestConflict": (409, "ConditionalRequestConflict"),
    "412": (412, "PreconditionFailed"),
    "error in a 200": (200, "InternalError"),
}
RESET: Final = "reset before"  # nothing was carried out
STALL: Final = "stall"  # nothing was carried out, and the client waits for its read timeout
LOST: Final = "lost answer"  # carried out, and the connection reset
LATE: Final = "late answer"  # carried out, and the client has waited in vain
AFTERWARDS: Final = "carried out afterwards"  # by S3, once the client has given up on it
CRASH_BEFORE: Final = "crash before"
CRASH_AFTER: Final = "crash after"
FLIPPED_UPLOAD: Final = "flipped byte sent"
SHORT: Final = "short body"  # ends before Content-Length says
CUT: Final = "short body and length"  # ends early, and Content-Length says so, too
BROKEN: Final = "reset in body"
STALLED: Final = "stall in body"
FLIPPED: Final = "flipped byte"

BODIES: Final = (SHORT, CUT, BROKEN, STALLED, FLIPPED)
CRASHES: Final = (CRASH_BEFORE, CRASH_AFTER)
ALL: Final = (*REFUSALS, RESET, STALL, LOST, LATE, AFTERWARDS, *CRASHES, FLIPPED_UPLOAD, *BODIES)
PAGE_2: Final = "listing failed on page 2"  # counted beside the fault that it was


@dataclass(frozen=True)
class Call:
    """One HTTP request of the product; ``target`` is what kind of key it is for, ``number`` counts all of the run's."""

    number: int
    life: Life
    request: Request
    target: str

    @property
    def operation(self) -> str:
        return self.request.operation

    @property
    def is_conditional_write(self) -> bool:
        return self.operation not in READS and any(name in self.request.headers for name in CONDITIONAL)

    @property
    def is_further_page(self) -> bool:
        return "continuation-token" in self.request.query or "key-marker" in self.request.query

    def __str__(self) -> str:
        conditions = "".join(
            f" {name}={self.request.headers[name][:9]}"
            for name in (*CONDITIONAL, "range")
            if name in self.request.headers
        )
        return f"{self.life.name}: {self.operation} {self.request.bucket}/{self.request.key}{conditions}"


def applicable(call: Call, answer: Answer | None) -> tuple[str, ...]:
    """Return the faults that this request can meet; ``answer`` is what a reading one is going to get."""
    kinds = ["500", "503 SlowDown", RESET, STALL, CRASH_BEFORE]
    if call.is_conditional_write:
        kinds += ["409 ConditionalRequestConflict", "412"]
    elif "if-match" in call.request.headers:
        kinds.append("412")
    if call.operation == "CompleteMultipartUpload":
        kinds.append("error in a 200")
    if call.operation not in READS:
        kinds += [LOST, LATE, CRASH_AFTER, AFTERWARDS]  # of a reading one they are the same as those above
    if call.operation in HAVE_BODIES:
        kinds.append(FLIPPED_UPLOAD)
    if answer is not None and call.operation == "GetObject" and answer.body:
        kinds += [SHORT, BROKEN, STALLED]
        # Nobody could see it in a body that has neither a checksum nor, of a part, the length of the whole.
        kinds += [FLIPPED, CUT] if CHECKSUM in answer.headers else []
        kinds += [CUT] if "content-range" in answer.headers else []
    return tuple(kinds)

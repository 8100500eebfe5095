"""What the product may ask AWS for, held against every request that it makes in any test of the suite.

The function's operations are what ``infra/template.yaml`` grants (``tests/infra/test_iam.py`` holds the two equal, and
shows that each is used); a person's are those of ``python -m csv_transcode backfill``, as infra_setup.md lists them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
_PRODUCT: Final = tuple(str(ROOT / name) for name in ("csv_transcode/", "s3_data_processor.py", "lambda_handler.py"))
_TESTS: Final = tuple(str(ROOT / name) for name in ("tests/", "test_s3_processor.py"))

# What a request needs, by its operation: the action, and whether it is on the object or on the bucket.
ACTIONS: Final = {
    "GetObject": ("s3:GetObject", "object"),
    "HeadObject": ("s3:GetObject", "object"),
    "PutObject": ("s3:PutObject", "object"),
    "CreateMultipartUpload": ("s3:PutObject", "object"),
    "UploadPart": ("s3:PutObject", "object"),
    "CompleteMultipartUpload": ("s3:PutObject", "object"),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload", "object"),
    "ListMultipartUploads": ("s3:ListBucketMultipartUploads", "bucket"),
    "ListObjectsV2": ("s3:ListBucket", "bucket"),
}
PERSONS_ACTIONS: Final = {
    "CloudFormation": {"DescribeStackResources"},
    "Lambda": {"GetFunctionConfiguration"},
    "SFN": {
        "StartExecution",
        "DescribeExecution",
        "StopExecution",
        "ListMapRuns",
        "DescribeMapRun",
        "DescribeStateMachine",
    },
}


class Listener:
    """Hears every request of every client of this process, and keeps those of the product that nothing grants."""

    def __init__(self) -> None:
        self.ungranted: list[str] = []
        self.heard = 0

    def asked(self, model: Any, **_: object) -> None:
        """Take note of a request, if it is the product's own; the tests' own calls prepare and look."""
        if not _is_products():
            return
        self.heard += 1
        service, operation = str(model.service_model.service_id), str(model.name)
        allowed = ACTIONS.keys() if service == "S3" else PERSONS_ACTIONS.get(service, set())
        if operation not in allowed:
            self.ungranted.append(f"{service}: {operation}")


def _is_products() -> bool:
    """Return whether the product asked: of its frames and the tests', which may meddle from within, the nearest."""
    frame = sys._getframe(2)  # inspect.stack would read a source file for every frame
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_PRODUCT):
            return True
        if name.startswith(_TESTS):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False

"""The product, deployed from its template: buckets, queue and function, with the demo's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo import stack

if TYPE_CHECKING:
    from demo.stack import Aws, Stack

STACK: Final = "csv-transcode"
INPUT_BUCKET: Final = "demo-sources"
OUTPUT_BUCKET: Final = "demo-outputs"
PREFIX: Final = "inbox/"
OUTPUT_PREFIX: Final = "processed/"
PARAMETERS: Final = {
    "InputBucketName": INPUT_BUCKET,
    "OutputBucketName": OUTPUT_BUCKET,
    "Prefix": PREFIX,
    "OutputPrefix": OUTPUT_PREFIX,
}


def deploy(aws: Aws) -> Stack:
    """Create the stack."""
    return stack.create(aws, STACK, PARAMETERS)


def output_key(stem: str, format_name: str) -> str:
    """Return where an output lies under OUTPUT_PREFIX, as the template's KEY_TEMPLATE has it."""
    return f"{format_name}/{stem}.{format_name}"

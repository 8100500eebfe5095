"""One arrival judged: the objects that its manifest names are read back and held against the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo.verify import verify

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from demo.watch import Arrival


def judge(s3: S3Client, arrival: Arrival) -> None:
    """Set how many cells of a converted arrival agree with its source, or what does not."""
    manifest = arrival.manifest or {}
    arrival.cells_agreeing, arrival.difference = None, None
    try:
        records = verify(arrival.source.data, **read_outputs(s3, manifest))
    except Exception as error:  # noqa: BLE001 - whatever a reader raises for bytes that it cannot read is the verdict
        arrival.difference = f"{type(error).__name__}: {error}"
        return
    if manifest["records"] == {"read": records, "written": records, "rejected": 0}:
        arrival.cells_agreeing = records * len(manifest["schema"])
    else:
        arrival.difference = f"{records} records in the source, {manifest['records']} in the manifest"


def read_outputs(s3: S3Client, manifest: dict[str, Any]) -> dict[str, bytes]:
    """Return the bytes of each format, of exactly the objects that the manifest names."""
    return {
        output["format"]: s3.get_object(Bucket=output["bucket"], Key=output["key"], IfMatch=output["etag"])[
            "Body"
        ].read()
        for output in manifest["outputs"]
    }

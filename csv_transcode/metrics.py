"""What CloudWatch is told of an invocation: names and units, and how their values follow from what became of objects.

Dashboards and alarms use these names. Every metric has one dimension, ``service``: keys and buckets are in the log,
where there is room for them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from csv_transcode.report import Outcome
from csv_transcode.stages import AVRO, DECODE, PARQUET, PUBLISH, READ

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from csv_transcode.report import ObjectResult

NAMESPACE: Final = "S3DataProcessor"  # unless POWERTOOLS_METRICS_NAMESPACE says otherwise
SERVICE: Final = "csv-transcode"  # unless POWERTOOLS_SERVICE_NAME says otherwise
DIMENSION: Final = "service"

# Once an invocation, zeros too: an alarm has to see that there is nothing to see.
FILES_CONVERTED: Final = "FilesConverted"
FILES_SKIPPED: Final = "FilesSkipped"
FILES_FAILED: Final = "FilesFailed"
FILES_DEFERRED: Final = "FilesDeferred"
RECORDS_READ: Final = "RecordsRead"
RECORDS_WRITTEN: Final = "RecordsWritten"
RECORDS_REJECTED: Final = "RecordsRejected"
BYTES_READ: Final = "BytesRead"
BYTES_PARQUET: Final = "BytesParquet"
BYTES_AVRO: Final = "BytesAvro"

# One value a file that was converted.
FILE_SECONDS: Final = "FileSeconds"
READ_SECONDS: Final = "ReadSeconds"
DECODE_SECONDS: Final = "DecodeSeconds"
PARQUET_SECONDS: Final = "ParquetSeconds"
AVRO_SECONDS: Final = "AvroSeconds"
PUBLISH_SECONDS: Final = "PublishSeconds"

FILES: Final = (FILES_CONVERTED, FILES_SKIPPED, FILES_FAILED, FILES_DEFERRED)
RECORDS: Final = (RECORDS_READ, RECORDS_WRITTEN, RECORDS_REJECTED)
BYTES: Final = (BYTES_READ, BYTES_PARQUET, BYTES_AVRO)
SECONDS: Final = (FILE_SECONDS, READ_SECONDS, DECODE_SECONDS, PARQUET_SECONDS, AVRO_SECONDS, PUBLISH_SECONDS)

UNITS: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys((*FILES, *RECORDS), "Count") | dict.fromkeys(BYTES, "Bytes") | dict.fromkeys(SECONDS, "Seconds")
)  # of every metric, in CloudWatch's words

_OUTCOMES: Final = MappingProxyType(
    {
        Outcome.CONVERTED: FILES_CONVERTED,
        Outcome.SKIPPED: FILES_SKIPPED,
        Outcome.FAILED: FILES_FAILED,
        Outcome.DEFERRED: FILES_DEFERRED,
    }
)
_STAGES: Final = MappingProxyType(
    {
        READ: READ_SECONDS,
        DECODE: DECODE_SECONDS,
        PARQUET: PARQUET_SECONDS,
        AVRO: AVRO_SECONDS,
        PUBLISH: PUBLISH_SECONDS,
    }
)
_DIGITS: Final = 6


def totals(results: Iterable[ObjectResult]) -> dict[str, int]:
    """Return the sums of an invocation, zeros too. Records and bytes are those of conversions."""
    found = dict.fromkeys((*FILES, *RECORDS, *BYTES), 0)
    for result in results:
        if result.outcome in _OUTCOMES:
            found[_OUTCOMES[result.outcome]] += 1
        if result.records is not None:
            found[RECORDS_READ] += result.records.read
            found[RECORDS_WRITTEN] += result.records.written
            found[RECORDS_REJECTED] += result.records.rejected
        if result.outcome is Outcome.CONVERTED:
            found[BYTES_READ] += result.bytes_read
            found[BYTES_PARQUET] += result.bytes_parquet
            found[BYTES_AVRO] += result.bytes_avro
    return found


def seconds(result: ObjectResult) -> dict[str, float]:
    """Return what one file took, and each stage of it; nothing where it was not converted."""
    if result.outcome is not Outcome.CONVERTED:
        return {}
    spent = {metric: result.stage_seconds.get(stage, 0.0) for stage, metric in _STAGES.items()}
    return {metric: round(value, _DIGITS) for metric, value in ({FILE_SECONDS: result.seconds} | spent).items()}

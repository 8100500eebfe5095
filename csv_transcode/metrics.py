"""What CloudWatch is told of an invocation: names and units, and how their values follow from what became of objects.

Dashboards and alarms use these names. Every metric has one dimension, ``service``: keys and buckets are in the log,
where there is room for them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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

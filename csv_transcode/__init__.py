"""CSV objects in S3 become Parquet and Avro, exactly and in bounded memory."""

from __future__ import annotations

__version__ = "0.1.0"

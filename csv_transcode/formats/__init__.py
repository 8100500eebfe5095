"""Typed record batches to bytes: Parquet and Avro."""

"""Typed Arrow record batches → bytes of one format, without I/O, threads or clocks."""

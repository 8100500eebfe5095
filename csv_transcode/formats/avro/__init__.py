"""Arrow record batches to Avro object container files; :mod:`.encoder` has the map."""

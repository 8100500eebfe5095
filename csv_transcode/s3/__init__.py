"""S3, and the only place that knows its SDK: client, requests and their errors, reading, uploading."""

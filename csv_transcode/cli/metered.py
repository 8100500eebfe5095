"""The processor, with a meter on what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from s3_data_processor import S3DataProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from csv_transcode.cli.screen import Meter
    from csv_transcode.conversion import OpenSource
    from csv_transcode.events import EventObject
    from csv_transcode.s3.reader import Source
    from csv_transcode.s3.wrangler import DownloadedSource
    from csv_transcode.settings import Settings


class MeteredProcessor(S3DataProcessor):
    """A processor whose sources tell ``meter``, if there is one, of every byte that is read of them."""

    def __init__(self, settings: Settings, meter: Meter | None) -> None:
        super().__init__(settings.input_bucket, settings.output_bucket, settings=settings)
        self._meter = meter

    def _open_source(
        self, obj: EventObject, if_none_match: str | None, threads: Executor
    ) -> Source | DownloadedSource | None:
        source = super()._open_source(obj, if_none_match, threads)
        if self._meter is None:
            return source
        if source is None:
            self._meter.add(obj.size or 0)  # it stands converted
            return None
        return cast("Source", _MeteredSource(source, self._meter))  # all that a conversion asks of one


class _MeteredSource:
    """An open source, counted."""

    def __init__(self, source: OpenSource, meter: Meter) -> None:
        self.bucket = source.bucket
        self.etag = source.etag
        self.version_id = source.version_id
        self.size = source.size
        self.metadata = source.metadata
        self.close = source.close
        self._counted = meter.counting(source.chunks)

    def chunks(self) -> Iterator[bytes]:
        return self._counted()

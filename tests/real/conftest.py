"""The place where the tests of this folder work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.real.place import Place, place_at

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.seaweed import SeaweedServer


@pytest.fixture
def here(seaweed_server: SeaweedServer, seaweed_s3: S3Client) -> Place:  # noqa: ARG001 -- it empties the buckets
    return place_at(seaweed_server)

"""S3 for the tests: imitated in process (moto), and real (SeaweedFS). Nothing listens beyond the loopback interface."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import botocore.handlers
import pytest
from moto import mock_aws

from csv_transcode.s3.client import make_client
from csv_transcode.telemetry import get_logger
from tests.granted import Listener
from tests.imitation import Imitated, quick
from tests.seaweed import NotInstalledError, SeaweedServer, seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from mypy_boto3_s3 import S3Client

INPUT_BUCKET: Final = "input-bucket"
OUTPUT_BUCKET: Final = "output-bucket"
CONNECTIONS_MAX: Final = 10
_LISTENER: Final = Listener()

# Whoever runs the tests may have an account, a profile and a region of their own: no test may meet them.
_NOBODY: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_SOMEBODY: Final = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION")


def not_installed(why: str) -> NoReturn:
    """Skip the test that needs what is not installed, or fail it where all are to run: ``make test`` asks for that."""
    if os.environ.get("EMULATORS_REQUIRED"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the real server, and which tests one process runs: those of a file, which share its fixtures.

    Not so what is marked ``spread``: each of these goes to whoever is free, or one of two processes waits for minutes.
    """
    for item in items:
        name = item.nodeid if item.get_closest_marker("spread") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(name))
        if "seaweed_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end, modules and tests; and let it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_configure(config: pytest.Config) -> None:
    """For the whole run, and so for the tests outside this folder, too."""
    stack = ExitStack()
    stack.enter_context(quick())
    stack.enter_context(_listening(_LISTENER))
    config.add_cleanup(stack.close)


@contextmanager
def _listening(listener: Listener) -> Iterator[None]:
    """Let ``listener`` hear every client that is made in the meantime, whoever makes it."""
    before = botocore.handlers.BUILTIN_HANDLERS
    botocore.handlers.BUILTIN_HANDLERS = [*before, ("before-call.*.*", listener.asked)]
    yield
    botocore.handlers.BUILTIN_HANDLERS = before


@pytest.fixture(autouse=True)
def _asks_for_nothing_ungranted() -> Iterator[None]:
    """Fail the test in which the product asks AWS for what its permissions do not name."""
    yield
    ungranted, _LISTENER.ungranted[:] = _LISTENER.ungranted[:], []
    assert not ungranted, "asked for, and not granted"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, _NOBODY)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Leave the package's logger as it was before the test, which may have set it up."""
    logger = get_logger()
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def imitated(_no_account: None) -> Iterator[None]:
    """Answer clients by moto, with the buckets INPUT_BUCKET and OUTPUT_BUCKET, both empty."""
    with mock_aws():
        for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
            Imitated.create(bucket)
        yield


@pytest.fixture
def s3(imitated: None) -> S3Client:  # noqa: ARG001 -- first the buckets
    """Return a client of moto."""
    return make_client(connections_max=CONNECTIONS_MAX)


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Yield a running SeaweedFS; where it is not installed, the test is skipped or fails."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(seaweed(tmp_path_factory.mktemp("seaweed")))
        except NotInstalledError as error:
            not_installed(str(error))
        yield server


@pytest.fixture(scope="session")
def _caretaker(seaweed_server: SeaweedServer) -> S3Client:
    """Create the buckets, and return a client that no test hangs faults into."""
    with pytest.MonkeyPatch.context() as environment:
        _set(environment, _NOBODY | seaweed_server.environment)
        client = make_client(connections_max=CONNECTIONS_MAX)
    for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
        client.create_bucket(Bucket=bucket)
    return client


@pytest.fixture
def seaweed_s3(
    seaweed_server: SeaweedServer, _caretaker: S3Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[S3Client]:
    """Yield a client of SeaweedFS with the buckets INPUT_BUCKET and OUTPUT_BUCKET, both empty.

    The environment points at it too, for code that makes a client of its own.
    """
    _set(monkeypatch, seaweed_server.environment)
    yield make_client(connections_max=CONNECTIONS_MAX)
    for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
        _empty(_caretaker, bucket)


def _set(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in _SOMEBODY:
        environment.delenv(name, raising=False)
    for name, value in variables.items():
        environment.setenv(name, value)


def _empty(client: S3Client, bucket: str) -> None:
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=entry["Key"])

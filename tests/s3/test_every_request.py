"""What every single request must say, held against a recorded run in which each operation of the store happens.

Which operations there are is read from the store's source, and which of them take a parameter from the SDK's model, so
that a new call cannot be left out. moto ignores owners and keys: what counts is the request.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import lambda_handler
from csv_transcode.__main__ import main
from csv_transcode.report import Outcome
from csv_transcode.s3 import store as store_module
from csv_transcode.s3.client import make_client
from csv_transcode.s3.fetch import fetch
from csv_transcode.s3.reader import open_source
from csv_transcode.s3.store import ObjectStore
from csv_transcode.s3.upload import ObjectUpload, abort_stray_uploads
from csv_transcode.s3.wrangler import download_source
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.s3.executors import InlineExecutor
from tests.s3.faults import Slept
from tests.s3.misbehaving import misbehaving
from tests.standing import inline_runtime, processor, put

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OWNERS: Final = {INPUT_BUCKET: "111111111111", OUTPUT_BUCKET: "222222222222"}
KMS_KEY: Final = "arn:aws:kms:us-east-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab"
PART: Final = 5 << 20  # the least that S3 takes
KEY: Final = "in/day.csv"
DAY: Final = b"id,text\n1,one\n2,two\n"
LARGE: Final = b"id,text\n" + b"".join(b"%d,%064d\n" % (number, number) for number in range(100_000))
GUARDED: Final = {
    "expected_input_bucket_owner": OWNERS[INPUT_BUCKET],
    "expected_output_bucket_owner": OWNERS[OUTPUT_BUCKET],
    "output_kms_key_id": KMS_KEY,
}
UNTIL: Final = "<RestoreExpiryDate>2026-12-01T00:00:00.000Z</RestoreExpiryDate>"
MARKERS: Final = {  # by what keys end in
    ".parquet": "parquet",
    ".avro": "avro",
    ".jsonl": "rejects",
    "_manifests/": "manifest",
    "_failed/": "failed",
}


@dataclass(frozen=True)
class Sent:
    """One request as it left."""

    operation: str
    bucket: str
    headers: dict[str, str]


def recorded(client: S3Client) -> list[Sent]:
    """Return a list that grows with every request of ``client``."""
    sent: list[Sent] = []

    def before_send(event_name: str, request: Any, **_: object) -> None:
        pairs = ((name.lower(), value) for name, value in request.headers.items())
        headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in pairs}
        bucket = next(bucket for bucket in OWNERS if bucket in request.url)
        sent.append(Sent(event_name.rpartition(".")[2], bucket, headers))

    client.meta.events.register_first("before-send.s3", before_send)
    return sent


def operations_of_the_store() -> set[str]:
    """Return the operations that the store's source calls on its client, as the SDK's model names them."""
    tree = ast.parse(Path(store_module.__file__).read_text(encoding="utf-8"))
    of_client = [
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self._client"
    ]
    pages = re.findall(r'self\._client\.get_paginator\("(\w+)"\)', Path(store_module.__file__).read_text("utf-8"))
    methods = {node.attr for node in of_client} - {"get_paginator", "meta"}
    assert len(pages) == sum(node.attr == "get_paginator" for node in of_client)
    return {"".join(word.capitalize() for word in name.split("_")) for name in methods | {*pages}}


def convert_everything(client: S3Client, owner: S3Client) -> None:
    """Convert small and large, what stands, with rejects, what fails, by awswrangler, and write what is read."""
    put(owner, DAY)
    put(owner, b'id,text\n1,one\n2,"two"x,3\n', "in/rejects.csv")
    put(owner, LARGE, "in/large.csv")
    plain = {"part_bytes": PART, "parquet_compression": "none", "avro_codec": "null", "max_rejected_ratio": 1.0}
    with processor(client, inline_runtime(), **GUARDED, **plain) as made:
        assert {result.outcome for result in made.run().results} == {Outcome.CONVERTED}
        put(owner, DAY * 2)
        assert made.convert(KEY).outcome is Outcome.CONVERTED
        assert made.read_s3_file(INPUT_BUCKET, KEY) == DAY * 2
        made.write_parquet_to_s3(made.read_csv_to_dataframe(INPUT_BUCKET, KEY), OUTPUT_BUCKET, "frames/day.parquet")
    with processor(client, inline_runtime(), **GUARDED, max_columns=1) as made:
        assert made.convert(KEY).outcome is Outcome.FAILED
    with processor(client, inline_runtime(), **GUARDED, use_wrangler=True) as made:
        assert made.convert(KEY, force=True).outcome is Outcome.CONVERTED


def abort_uploads(client: S3Client) -> None:
    """Begin an upload and leave it, and abort one that is found."""
    store = ObjectStore(client, Slept().runtime(), owners=OWNERS, kms_key_id=KMS_KEY)
    how: Any = {"attempt_id": "1", "marker": "avro", "content_type": "t"}
    with ObjectUpload(store, OUTPUT_BUCKET, "out", executor=InlineExecutor(), part_bytes=PART, **how) as upload:
        upload.write(bytes(PART + 1))
    store.create_upload(OUTPUT_BUCKET, "out", **how)
    assert abort_stray_uploads(store, OUTPUT_BUCKET, "out") == 1


@pytest.fixture
def client(imitated: None) -> S3Client:  # noqa: ARG001 -- first the buckets
    return make_client(connections_max=4)


class TestRecordedRun:
    @pytest.fixture
    def sent(self, client: S3Client, s3: S3Client) -> list[Sent]:
        sent = recorded(client)
        convert_everything(client, s3)
        abort_uploads(client)
        return sent

    def test_it_has_every_operation_and_all_of_them_name_the_owner(self, client: S3Client, sent: list[Sent]) -> None:
        assert {each.operation for each in sent} == operations_of_the_store()
        model = client.meta.service_model
        silent = [each for each in sent if each.headers.get("x-amz-expected-bucket-owner") != OWNERS[each.bucket]]
        taking = {
            each.operation
            for each in sent
            if "ExpectedBucketOwner" in model.operation_model(each.operation).input_shape.members
        }
        assert taking == {each.operation for each in sent}
        assert not silent

    def test_everything_that_is_written_is_encrypted_by_the_key_and_nothing_else_speaks_of_it(
        self, client: S3Client, sent: list[Sent]
    ) -> None:
        model = client.meta.service_model
        taking = [each for each in sent if "SSEKMSKeyId" in model.operation_model(each.operation).input_shape.members]
        assert {each.operation for each in taking} == {"PutObject", "CreateMultipartUpload"}
        for each in sent:
            names = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")
            expected = ("aws:kms", KMS_KEY) if each in taking else (None, None)
            assert tuple(map(each.headers.get, names)) == expected

    @pytest.mark.usefixtures("sent")
    def test_everything_that_is_written_says_what_it_is(self, s3: S3Client) -> None:
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=OUTPUT_BUCKET)["Contents"]]
        said = {key: s3.head_object(Bucket=OUTPUT_BUCKET, Key=key)["Metadata"]["csv-transcode"] for key in keys}
        assert {*said.values()} == {*MARKERS.values()}
        for key, marker in said.items():
            assert [kind for text, kind in MARKERS.items() if text in key] == [marker], key


def test_without_settings_no_request_speaks_of_owners_or_keys(client: S3Client, s3: S3Client) -> None:
    put(s3, DAY)
    sent = recorded(client)
    with processor(client, inline_runtime()) as made:
        assert made.convert(KEY).outcome is Outcome.CONVERTED
    assert len(sent) == 5
    assert not [name for each in sent for name in each.headers if "owner" in name or "encryption" in name]


def test_a_bucket_without_an_expected_owner_is_asked_plainly(client: S3Client, s3: S3Client) -> None:
    put(s3, DAY)
    sent = recorded(client)
    with processor(client, inline_runtime(), expected_output_bucket_owner=OWNERS[OUTPUT_BUCKET]) as made:
        made.convert(KEY)
    named = {(each.bucket, each.headers.get("x-amz-expected-bucket-owner")) for each in sent}
    assert named == {(INPUT_BUCKET, None), (OUTPUT_BUCKET, OWNERS[OUTPUT_BUCKET])}


class TestSources:
    @pytest.fixture
    def store(self, client: S3Client, s3: S3Client) -> ObjectStore:
        s3.put_object(Bucket=INPUT_BUCKET, Key=KEY, Body=DAY, Metadata={"csv-transcode": "rejects"})
        return ObjectStore(client, Slept().runtime(), owners=OWNERS)

    def test_a_source_shows_the_metadata_that_it_carries(self, client: S3Client, store: ObjectStore) -> None:
        how: Any = {"size_hint": None, "if_none_match": None, "executor": InlineExecutor()}
        opened = open_source(store, INPUT_BUCKET, KEY, **how)
        downloaded = download_source(store, INPUT_BUCKET, KEY, if_none_match=None, client=client)
        assert opened is not None
        assert downloaded is not None
        assert opened.metadata == downloaded.metadata == {"csv-transcode": "rejects"}

    def test_awswrangler_names_the_owner_in_each_of_its_requests(self, client: S3Client, store: ObjectStore) -> None:
        sent = recorded(client)
        download_source(store, INPUT_BUCKET, KEY, if_none_match=None, client=client)
        assert [each.operation for each in sent].count("GetObject") == 1
        assert {each.headers.get("x-amz-expected-bucket-owner") for each in sent} == {OWNERS[INPUT_BUCKET]}

    @pytest.mark.parametrize("bucket", [INPUT_BUCKET, OUTPUT_BUCKET])
    def test_what_a_setting_names_is_read_under_its_bucket_s_owner(
        self, client: S3Client, s3: S3Client, bucket: str
    ) -> None:
        s3.put_object(Bucket=bucket, Key="types.json", Body=b"{}" * 10)
        sent = recorded(client)
        assert fetch(f"s3://{bucket}/types.json", 20, OWNERS, client) == b"{}" * 10
        assert fetch(f"s3://{bucket}/types.json", 5, {"another": "333333333333"}, client) == b"{}{}{}"
        assert [each.headers.get("x-amz-expected-bucket-owner") for each in sent] == [OWNERS[bucket], None]


class TestDoors:
    """What COLUMN_TYPES names is read before there are settings; the variables say whose the bucket must be."""

    TYPES: Final = b'{"id": "string"}'

    @pytest.mark.parametrize(("bucket", "owner"), [("landing", "111122223333"), ("elsewhere", None)])
    def test_the_function(self, monkeypatch: pytest.MonkeyPatch, bucket: str, owner: str | None) -> None:
        with misbehaving(self.TYPES) as server:
            for name, value in {
                "AWS_ENDPOINT_URL_S3": server.url,
                "INPUT_BUCKET": "landing",
                "OUTPUT_BUCKET": "lake",
                "EXPECTED_INPUT_BUCKET_OWNER": "111122223333",
                "COLUMN_TYPES": f"s3://{bucket}/types.json",
            }.items():
                monkeypatch.setenv(name, value)
            assert lambda_handler.lambda_handler({"keys": []}, None)["statusCode"] == 200
        assert server.owners == [owner]

    def test_the_command_line(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with misbehaving(self.TYPES) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
            given = ("COLUMN_TYPES=s3://landing/types.json", "EXPECTED_INPUT_BUCKET_OWNER=111122223333")
            words = [word for pair in given for word in ("--set", pair)]
            # The server has the same bytes under every key: what is read as the source are the types once more.
            assert main(["convert", "s3://landing/in/day.csv", str(tmp_path / "out"), *words]) == 0
        assert server.owners == ["111122223333"] * 2


class TestArchives:
    @pytest.mark.parametrize(
        ("storage_class", "restored", "archived"),
        [
            ("STANDARD", "", False),
            ("GLACIER_IR", "", False),
            ("INTELLIGENT_TIERING", "", False),
            ("GLACIER", "", True),
            ("DEEP_ARCHIVE", "", True),
            ("GLACIER", "<IsRestoreInProgress>true</IsRestoreInProgress>", True),
            (
                "GLACIER",
                f"<IsRestoreInProgress>false</IsRestoreInProgress>{UNTIL}",
                False,
            ),
        ],
    )
    def test_a_listing_says_which_objects_lie_in_an_archive(
        self, client: S3Client, s3: S3Client, storage_class: str, restored: str, *, archived: bool
    ) -> None:
        """moto knows nothing of restored objects in listings: what S3 says of them is put into its answer."""
        put(s3, DAY)
        sent = recorded(client)

        def before_parse(response_dict: dict[str, Any], **_: object) -> None:
            status = f"<RestoreStatus>{restored}</RestoreStatus>" if restored else ""
            said = f"<StorageClass>{storage_class}</StorageClass>{status}"
            plain = "<StorageClass>STANDARD</StorageClass>"
            body = response_dict["body"].decode()
            assert plain in body
            response_dict["body"] = body.replace(plain, said).encode()

        client.meta.events.register_first("before-parse.s3.ListObjectsV2", before_parse)
        (found,) = ObjectStore(client, Slept().runtime()).list_objects(INPUT_BUCKET, "in/")
        assert (found.storage_class, found.is_archived) == (storage_class, archived)
        assert sent[0].headers["x-amz-optional-object-attributes"] == "RestoreStatus"

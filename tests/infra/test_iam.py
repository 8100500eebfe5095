"""What the function may, held to what it does: every request that the product makes is recorded, and IAM grants it.

The product runs behind its own handler, over moto, with every kind of event and every feature that asks AWS for
something. No emulator enforces permissions, so what each request needs stands here, as AWS's Service Authorization
Reference says it. Grants for AWS's own services, which run the function, are a list, each with its reason.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import botocore.handlers
import pytest

import lambda_handler
from csv_transcode.errors import TranscodeError
from csv_transcode.s3.client import make_client
from tests.granted import ACTIONS, PERSONS_ACTIONS
from tests.imitation import Imitated
from tests.infra.template import ACCOUNT, FARGATE, REGION, ROOT, STACK, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

EVENTS: Final = Path(__file__).resolve().parent.parent / "events"
INPUT_BUCKET: Final = "source-bucket"  # as the events have it
OUTPUT_BUCKET: Final = "output-bucket"
TYPES_BUCKET: Final = "types-bucket"
PREFIX: Final = "in/"
OUTPUT_PREFIX: Final = "processed/"
TYPES_KEY: Final = "types/orders.json"
KEYS: Final = ("in/orders/2026-11-01.csv", "in/orders/2026-11-02.csv", "in/Größe 100%+Rabatt.csv")
INPUT_KMS_KEY: Final = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-1111-1111-1111-111111111111"
OUTPUT_KMS_KEY: Final = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/22222222-2222-2222-2222-222222222222"
INVENTORY_KMS_KEY: Final = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/33333333-3333-3333-3333-333333333333"
PART_BYTES: Final = 5 << 20
RESULTS: Final = f"{OUTPUT_PREFIX}_backfills/1/manifest.json"

READS: Final = ("GetObject", "HeadObject")


@dataclass(frozen=True)
class Service:
    """One statement for AWS's own services, which run the product: what they may, on what, and for what."""

    actions: set[str]
    resources: set[str]
    reason: str
    condition: dict[str, Any] = field(default_factory=dict)


INPUT_BUCKET_ARN: Final = f"arn:aws:s3:::{INPUT_BUCKET}"
MACHINE: Final = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{STACK}-backfill"
EXECUTIONS: Final = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{STACK}-backfill/*"
CLUSTER: Final = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/batch"
REPOSITORY: Final = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/csv-transcode"

# What each role of template.yaml has beside the conversion's policy, by statement.
OF_SERVICES: Final[dict[str, dict[str, Service]]] = {
    "ConverterRole": {
        "WriteLogs": Service(
            {"logs:CreateLogStream", "logs:PutLogEvents"},
            {"<ConverterLog.Arn>"},
            "Lambda writes what the function prints into its log group, metrics included",
        ),
        "WriteTraces": Service(
            {"xray:PutTraceSegments", "xray:PutTelemetryRecords"},
            {"*"},
            "Lambda sends the traces that Tracing: Active makes; these actions know no resources",
        ),
        "KeepWhatFailed": Service(
            {"sqs:SendMessage"},
            {"<DeadLetterQueue.Arn>"},
            "Lambda sends asynchronous events that failed three times to the dead-letter queue",
        ),
        "PollQueue": Service(
            {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
            {"<SourceQueue.Arn>"},
            "Lambda's poller reads the queue, deletes what was done, and looks how it is set up",
        ),
    },
    "BackfillRole": {
        "Convert": Service(
            {"lambda:InvokeFunction"}, {"<Converter.Alias>"}, "the state machine's batches, and their sum"
        ),
        "RunTheMap": Service({"states:StartExecution"}, {MACHINE}, "a Distributed Map starts its children"),
        "FollowTheMap": Service(
            {"states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"},
            {EXECUTIONS},
            "it follows its children, stops them with itself, and takes them up again",
        ),
        "ListSources": Service(
            {"s3:ListBucket"},
            {INPUT_BUCKET_ARN},
            "the map's reader lists a prefix, never the whole bucket",
            {"StringLike": {"s3:prefix": f"{PREFIX}*"}},
        ),
        "WriteResults": Service(
            {"s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"},
            {f"arn:aws:s3:::{OUTPUT_BUCKET}/{OUTPUT_PREFIX}_backfills/*"},
            "the map's writer, as AWS's guide has it for a ResultWriter",
        ),
        "ReadInventory": Service(
            {"s3:GetObject"}, {"arn:aws:s3:::lists-bucket/inventory/*"}, "the map's reader reads manifest and files"
        ),
        "DecryptInventory": Service({"kms:Decrypt"}, {INVENTORY_KMS_KEY}, "where they are under a key"),
        "EncryptResults": Service(
            {"kms:GenerateDataKey", "kms:Decrypt"},
            {OUTPUT_KMS_KEY},
            "the output bucket's own encryption, which results have; Decrypt is for uploads in parts",
        ),
        "WriteTraces": Service(
            {
                *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
                *("xray:GetSamplingRules", "xray:GetSamplingTargets"),
            },
            {"*"},
            "Step Functions sends traces; these actions know no resources",
        ),
        "DeliverLogs": Service(
            {
                *("logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery"),
                *("logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies"),
                "logs:DescribeLogGroups",
            },
            {"*"},
            "Step Functions sets up the delivery of its log; these actions know no resources",
        ),
    },
}

# The same of fargate.yaml, whose TaskRole has the conversion's policy and nothing else.
OF_FARGATE: Final[dict[str, dict[str, Service]]] = {
    "ExecutionRole": {
        "PullImage": Service(
            {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
            {REPOSITORY},
            "Fargate pulls the image",
        ),
        "LogInToEcr": Service({"ecr:GetAuthorizationToken"}, {"*"}, "before that; the action knows no resources"),
        "WriteLogs": Service(
            {"logs:CreateLogStream", "logs:PutLogEvents"}, {"<TaskLog.Arn>"}, "it writes what the task prints"
        ),
    },
    "SweepRole": {
        "RunTheTask": Service(
            {"ecs:RunTask"},
            {"<Task>"},
            "the schedule starts the task, in its cluster",
            {"ArnEquals": {"ecs:cluster": CLUSTER}},
        ),
        "GiveItItsRoles": Service(
            {"iam:PassRole"},
            {"<TaskRole.Arn>", "<ExecutionRole.Arn>"},
            "and whoever starts a task passes its roles on",
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    },
}

EVERYTHING: Final = {
    "InputBucketName": INPUT_BUCKET,
    "OutputBucketName": OUTPUT_BUCKET,
    "Prefix": PREFIX,
    "OutputPrefix": OUTPUT_PREFIX,
    "InputKmsKeyArn": INPUT_KMS_KEY,
    "OutputKmsKeyArn": OUTPUT_KMS_KEY,
    "ColumnTypesObject": f"{TYPES_BUCKET}/{TYPES_KEY}",
    "UseWrangler": "true",
    "InventoryBucketName": "lists-bucket",
    "InventoryKmsKeyArn": INVENTORY_KMS_KEY,
}
FARGATE_EVERYTHING: Final = {"SweepSchedule": "rate(1 day)", "ClusterArn": CLUSTER, "RepositoryArn": REPOSITORY}


@dataclass(frozen=True)
class Need:
    """One action on one resource; ``prefix`` is what a listing asked for."""

    action: str
    resource: str
    prefix: str | None = None


@dataclass
class Recorder:
    """Every request of every client in this process while the product works, as what it needs."""

    needs: set[Need] = field(default_factory=set)
    operations: set[str] = field(default_factory=set)
    _encrypted: set[str] = field(default_factory=set)  # uploads under a KMS key
    _listening: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._listening.set()
        yield
        self._listening.clear()

    def asked(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: object) -> None:
        if self._listening.is_set():
            context["recorded"] = dict(params)
            self.operations.add(model.name)
            self.needs.update(self._of_request(model.name, params))

    def answered(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: object) -> None:
        if "recorded" in context:
            self.needs.update(self._of_answer(model.name, context["recorded"], parsed))

    def _of_request(self, operation: str, params: dict[str, Any]) -> Iterator[Need]:
        action, on = ACTIONS[operation]
        if "VersionId" in params:
            action = action.replace("GetObject", "GetObjectVersion")
        bucket = f"arn:aws:s3:::{params['Bucket']}"
        if on == "bucket":
            yield Need(action, bucket, params.get("Prefix", ""))
            return
        yield Need(action, f"{bucket}/{params['Key']}")
        if "IfMatch" in params and operation not in READS:
            yield Need("s3:GetObject", f"{bucket}/{params['Key']}")
        if "SSEKMSKeyId" in params:
            yield Need("kms:GenerateDataKey", params["SSEKMSKeyId"])
        if params.get("UploadId") in self._encrypted and operation != "AbortMultipartUpload":
            yield Need("kms:Decrypt", OUTPUT_KMS_KEY)

    def _of_answer(self, operation: str, params: dict[str, Any], parsed: dict[str, Any]) -> Iterator[Need]:
        if operation == "CreateMultipartUpload" and "SSEKMSKeyId" in params:
            self._encrypted.add(parsed["UploadId"])
        if operation in READS and "SSEKMSKeyId" in parsed:
            yield Need("kms:Decrypt", parsed["SSEKMSKeyId"])
        missing = parsed["ResponseMetadata"]["HTTPStatusCode"] == 404
        if missing and operation in READS:  # S3 says 403 to who may not list the bucket
            yield Need("s3:ListBucket", f"arn:aws:s3:::{params['Bucket']}")


@dataclass(frozen=True)
class Grant:
    """One action of one statement, on one resource."""

    sid: str
    action: str
    resource: str
    condition: tuple[tuple[str, str], ...]

    def allows(self, need: Need) -> bool:
        if self.action != need.action or not matches(self.resource, need.resource):
            return False
        return all(self._satisfied(test, pattern, need) for test, pattern in self.condition)

    @staticmethod
    def _satisfied(test: str, pattern: str, need: Need) -> bool:
        if need.prefix is None:
            return test == "StringLikeIfExists"
        return matches(pattern, need.prefix)


def matches(pattern: str, text: str) -> bool:
    """Return whether IAM takes ``text`` for ``pattern``, whose only wildcard here is the asterisk."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def grants(policy: dict[str, Any]) -> list[Grant]:
    """Return what a policy document grants; a form that this test does not know fails it."""
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
    return [
        Grant(statement["Sid"], action, resource, _condition(statement))
        for statement in policy["Statement"]
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    ]


def _condition(statement: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    tests = statement.get("Condition", {})
    assert all(
        test in ("StringLike", "StringLikeIfExists") and [*keys] == ["s3:prefix"] for test, keys in tests.items()
    )
    return tuple((test, keys["s3:prefix"]) for test, keys in tests.items())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def conversion_grants(template: Template) -> list[Grant]:
    return grants(template.properties("ConversionPolicy")["PolicyDocument"])


# ------------------------------------------------------------------ the product at work


class Work:
    """The function as the template sets it up, and the buckets that it works on."""

    def __init__(self, recorder: Recorder, client: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self._recorder = recorder
        self._client = client
        self._monkeypatch = monkeypatch

    def prepare(self) -> None:
        """Make the buckets, with versions, and what stands in them."""
        for bucket in (INPUT_BUCKET, OUTPUT_BUCKET, TYPES_BUCKET):
            Imitated.create(bucket)
            self._client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        self._client.put_object(Bucket=TYPES_BUCKET, Key=TYPES_KEY, Body=b'{"zip": "string"}')
        for key in KEYS:
            self.put(key, b"order,zip\n1,02134\n")
        results = {"DestinationBucket": OUTPUT_BUCKET, "MapRunArn": "arn", "ResultFiles": {"SUCCEEDED": []}}
        self._client.put_object(Bucket=OUTPUT_BUCKET, Key=RESULTS, Body=json.dumps(results).encode())

    def put(self, key: str, body: bytes) -> None:
        self._client.put_object(
            Bucket=INPUT_BUCKET, Key=key, Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=INPUT_KMS_KEY
        )

    def leave_an_upload(self, key: str) -> None:
        """Leave at an output's key what a killed conversion leaves."""
        self._client.create_multipart_upload(Bucket=OUTPUT_BUCKET, Key=key)

    def invoke(self, *events: Any, **settings: str) -> None:
        """Let a fresh function answer these events, in the environment that the template gives it."""
        variables = Template(**EVERYTHING).properties("Converter")["Environment"]["Variables"] | settings
        for name, value in variables.items():
            self._monkeypatch.setenv(name, str(value))
        function = lambda_handler.LambdaFunction(os.environ, lambda_handler._build, lambda_handler._fetch)
        with self._recorder.listening():
            for event in events:
                with suppress(TranscodeError):  # what an event is answered is for other tests
                    function(event, None)
            function._discard()


def every_event(work: Work) -> None:
    as_sent = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(EVENTS.glob("*.json"))]
    details = {"Bucket": OUTPUT_BUCKET, "Key": RESULTS}
    results = {"MapResults": {"MapRunArn": "arn", "ResultWriterDetails": details}}
    planned, missing = {"prefix": PREFIX, "dry_run": True}, {"keys": ["in/not-there.csv"]}
    work.invoke(*as_sent, results, planned, missing, USE_WRANGLER="false")


def every_feature(work: Work) -> None:
    work.put("in/rejects.csv", b"a,b\n" + b"1,2\n" * 20 + b"1,2,3\n")
    work.put("in/failing.csv", b"a,b\n1,2,3\n1,2,3\n")
    work.put("in/large.csv", large(0))
    work.leave_an_upload(f"{OUTPUT_PREFIX}parquet/large.parquet")
    in_parts = {"PART_BYTES_MAX": str(PART_BYTES), "AVRO_CODEC": "null", "PARQUET_COMPRESSION": "none"}
    work.invoke({"prefix": PREFIX}, USE_WRANGLER="false", **in_parts)
    # over what stands: claims, conditions on ETags; and a type that changes at the end, so that uploads are aborted
    work.put("in/large.csv", large(1) + b"text,a word\n")
    work.invoke({"prefix": PREFIX, "force": True}, USE_WRANGLER="false", **in_parts)
    work.invoke({"keys": KEYS, "force": True}, USE_WRANGLER="true")


def large(seed: int) -> bytes:
    """Return a CSV whose outputs go up in parts."""
    chance = random.Random(seed)
    return b"note,number\n" + b"".join(b"%s,%d\n" % (chance.randbytes(400).hex().encode(), i) for i in range(12_000))


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorder]:
    from moto import mock_aws  # noqa: PLC0415 -- after the recorder stands among the handlers

    recorder = Recorder()
    handlers: list[tuple[str, Any]] = [
        ("before-parameter-build.*.*", recorder.asked),
        ("after-call.*.*", recorder.answered),
    ]
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        # what every client of this process gets when it is made, whoever makes it
        monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS, *handlers])
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        work = Work(recorder, make_client(connections_max=1), monkeypatch)
        work.prepare()
        every_event(work)
        every_feature(work)
        yield recorder


# ------------------------------------------------------------------ what must hold


def test_every_request_is_granted(recorded: Recorder) -> None:
    granted = conversion_grants(Template(**EVERYTHING))
    missing = [need for need in recorded.needs if not any(grant.allows(need) for grant in granted)]
    assert not missing


def test_every_grant_is_used(recorded: Recorder) -> None:
    granted = conversion_grants(Template(**EVERYTHING))
    unused = [grant for grant in granted if not any(grant.allows(need) for need in recorded.needs)]
    assert not unused


def test_the_actions_are_the_same(recorded: Recorder) -> None:
    asked = {need.action for need in recorded.needs}
    assert asked == {grant.action for grant in conversion_grants(Template(**EVERYTHING))}


def test_every_operation_of_the_product_was_seen(recorded: Recorder) -> None:
    """So that the record is of the whole product, and not of the little that happened to run."""
    assert recorded.operations == ACTIONS.keys() == operations_of_the_product()


def test_what_a_person_needs_is_what_the_commands_ask_for() -> None:
    text = (ROOT / "csv_transcode" / "aws" / "backfills.py").read_text(encoding="utf-8")
    asked = {name.title().replace("_", "") for name in re.findall(r"self\._(?:stacks|states|functions)\.(\w+)\(", text)}
    assert asked == set[str]().union(*PERSONS_ACTIONS.values())


def operations_of_the_product() -> set[str]:
    """Return what the package's only module that asks S3 asks it for: methods and paginators of its client."""
    text = (ROOT / "csv_transcode" / "s3" / "store.py").read_text(encoding="utf-8")
    methods = {name for name in re.findall(r"\b_client\.(\w+)\(", text) if name != "get_paginator"}
    methods |= set(re.findall(r"get_paginator\(\"(\w+)\"\)", text))
    return {"".join(word.capitalize() for word in re.sub(r"_v2$", "_V2", name).split("_")) for name in methods}


def test_features_that_are_off_are_not_granted() -> None:
    sids = {grant.sid for grant in conversion_grants(Template(InputBucketName="in", OutputBucketName="out"))}
    optional = {"ReadVersionsOfSources", "ReadColumnTypes", "DecryptSources", "EncryptOutputs"}
    assert sids.isdisjoint(optional)
    assert sids | optional == {grant.sid for grant in conversion_grants(Template(**EVERYTHING))}


def services(template: Template, role: str) -> dict[str, tuple[Any, ...]]:
    """Return, by statement, what the role's own policy says: actions, resources, condition."""
    (policy,) = template.properties(role)["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    assert all(one["Effect"] == "Allow" for one in statements)
    found = {
        one["Sid"]: ({*_listed(one["Action"])}, {*_listed(one["Resource"])}, one.get("Condition", {}))
        for one in statements
    }
    assert len(found) == len(statements)
    return found


def wanted(services: dict[str, Service]) -> dict[str, tuple[Any, ...]]:
    return {sid: (one.actions, one.resources, one.condition) for sid, one in services.items()}


@pytest.mark.parametrize("role", OF_SERVICES)
def test_services_have_what_they_need_and_no_more(role: str) -> None:
    assert services(Template(**EVERYTHING), role) == wanted(OF_SERVICES[role])


@pytest.mark.parametrize("role", OF_FARGATE)
def test_so_it_is_on_fargate(role: str) -> None:
    assert services(Template(FARGATE, **FARGATE_EVERYTHING), role) == wanted(OF_FARGATE[role])


def test_every_role_is_looked_at() -> None:
    assert Template(**EVERYTHING).of_type("AWS::IAM::Role").keys() == OF_SERVICES.keys()
    roles = Template(FARGATE, **FARGATE_EVERYTHING).of_type("AWS::IAM::Role").keys()
    assert roles == OF_FARGATE.keys() | {"TaskRole"}


def test_only_the_function_has_the_conversions_policy_beside_its_own() -> None:
    roles = Template(**EVERYTHING).of_type("AWS::IAM::Role")
    assert roles["ConverterRole"]["ManagedPolicyArns"] == ["<ConversionPolicy>"]
    assert "ManagedPolicyArns" not in roles["BackfillRole"]


def test_services_that_are_not_used_have_nothing() -> None:
    names = {"InputBucketName": "in", "OutputBucketName": "out"}
    without_queue = Template(**names, Trigger="notification")
    assert services(without_queue, "ConverterRole").keys() == OF_SERVICES["ConverterRole"].keys() - {"PollQueue"}
    optional = {"ReadInventory", "DecryptInventory", "EncryptResults"}
    assert services(Template(**names), "BackfillRole").keys() == OF_SERVICES["BackfillRole"].keys() - optional


def test_only_what_knows_no_resources_is_granted_on_all() -> None:
    for statements in (*OF_SERVICES.values(), *OF_FARGATE.values()):
        on_all = {sid for sid, one in statements.items() if one.resources & {"*"}}
        assert on_all == {sid for sid, one in statements.items() if "no resources" in one.reason}


def test_no_bucket_has_a_wildcard_in_its_name() -> None:
    for grant in conversion_grants(Template(**EVERYTHING)):
        assert "*" not in grant.action
        if grant.resource.startswith("arn:aws:s3:::"):
            assert "*" not in grant.resource.removeprefix("arn:aws:s3:::").split("/")[0]
            assert "*" not in grant.resource.removesuffix("*")


def test_the_task_on_fargate_has_the_same_permissions() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:policy/conversion"
    role = Template(FARGATE, ConversionPolicyArn=arn).properties("TaskRole")
    assert role["ManagedPolicyArns"] == [arn]
    assert "Policies" not in role

"""The template deployed and at work, on MiniStack: S3 → EventBridge → SQS → Lambda, the schedule, the direct variant.

Nothing in it is edited but one reference: what MiniStack does not know is switched off by the template's own parameters
(demo/stack.py says which, and why the reference). The code has the package's own list of files, without byte
code; the layer's content is the environment that MiniStack runs in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from demo import server, stack
from demo.verify import verify
from tests.conftest import not_installed
from tests.infra.template import FARGATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.stack import Aws, Stack

pytestmark = pytest.mark.integration

WAIT_SECONDS_MAX: Final = 240.0
POLL_SECONDS: Final = 0.2
PREFIX: Final = "in/"
OUTPUT_PREFIX: Final = "processed/"

AWKWARD: Final = (
    *("plain.csv", "two words.csv", "a+b.csv", "100%.csv", "%2B.csv", "a&b=c.csv", "a#b?.csv", "semi;colon,.csv"),
    *("Größe.csv", "東京/注文.csv", "😀.csv", "e\u0301.csv", "quote'd\".csv", "back\\slash.csv", "[1]*{x}.csv"),
    *("deep/er/and deeper/day.csv", ".hidden.csv", "_underscore.csv", "UPPER.CSV", "table.tsv"),
)
POISON: Final = "poison.csv"
POISONED: Final = b"a,b\n" + b"1,2\n" * 8 + b"1,2,3\n" * 2  # a fifth of its records cannot be read


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    if not server.PYTHON.exists():
        not_installed("MiniStack is not installed: `make .venv-emulators/stamp` does that")
    with server.running(tmp_path_factory.mktemp("ministack")) as url:
        yield stack.Aws(url)


@pytest.fixture(scope="module")
def before(aws: Aws) -> dict[str, set[str]]:
    """What stands before anything is deployed."""
    return standing(aws)


@pytest.fixture(scope="module")
def swept(aws: Aws, before: dict[str, set[str]]) -> Stack:  # noqa: ARG001 -- first the look at what stood before
    """Return a stack that only its schedule starts, with a source: it has a minute to fire while other tests run."""
    made = stack.create(aws, "swept", places("swept") | {"Trigger": "none", "SweepSchedule": "rate(1 minute)"})
    put(aws, made, "day.csv")
    return made


@pytest.fixture(scope="module")
def queued(aws: Aws, swept: Stack) -> Stack:  # noqa: ARG001 -- so that its minute begins first
    return stack.create(aws, "queued", places("queued"))


@pytest.fixture(scope="module")
def notified(aws: Aws, swept: Stack) -> Stack:  # noqa: ARG001 -- as above
    return stack.create(aws, "notified", places("notified") | {"Trigger": "notification"})


def places(name: str) -> dict[str, str]:
    """Return a stack's own buckets; two invocations at a time are what this machine has processors for."""
    return {"InputBucketName": f"{name}-landing", "OutputBucketName": f"{name}-lake", "MaximumConcurrency": "2"}


def body(name: str) -> bytes:
    """Return a source that no other name has."""
    return f"order,zip,amount\n1,02134,17.00\n2,10001,{len(name)}.50\n".encode()


def put(aws: Aws, made: Stack, name: str, content: bytes | None = None) -> None:
    source = body(name) if content is None else content
    aws.client("s3").put_object(Bucket=made.outputs["InputBucketName"], Key=PREFIX + name, Body=source)


def keys(aws: Aws, made: Stack, folder: str) -> set[str]:
    """Return what stands under a folder of the outputs, without the folder."""
    under = OUTPUT_PREFIX + folder
    pages = (
        aws.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=made.outputs["OutputBucketName"], Prefix=under)
    )
    return {entry["Key"].removeprefix(under) for page in pages for entry in page.get("Contents", ())}


def read(aws: Aws, bucket: str, key: str) -> bytes:
    content: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def manifest_of(aws: Aws, made: Stack, name: str) -> dict[str, Any]:
    key = f"{OUTPUT_PREFIX}_manifests/{name}.json"
    found: dict[str, Any] = json.loads(read(aws, made.outputs["OutputBucketName"], key))
    return found


def until(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + WAIT_SECONDS_MAX
    while not holds():
        if time.monotonic() > give_up:
            pytest.fail(f"{what}: not within {WAIT_SECONDS_MAX:.0f} s")
        time.sleep(POLL_SECONDS)


def converted(aws: Aws, made: Stack, *names: str) -> None:
    """Wait until all of these are committed, and hold the outputs to their sources, cell by cell."""
    wanted = {f"{name}.json" for name in names}
    until(lambda: keys(aws, made, "_manifests/") >= wanted, f"conversion of {len(names)} objects")
    for name in names:
        until(partial(is_committed, aws, made, name), name)
        outputs = manifest_of(aws, made, name)["outputs"]
        assert verify(body(name), **{one["format"]: read(aws, one["bucket"], one["key"]) for one in outputs}) == 2


def is_committed(aws: Aws, made: Stack, name: str) -> bool:
    return bool(manifest_of(aws, made, name)["state"] == "committed")


# ------------------------------------------------------------------ by the queue


def test_twenty_objects_with_awkward_keys_are_converted(aws: Aws, queued: Stack) -> None:
    assert len({*AWKWARD}) == 20
    for name in AWKWARD:
        put(aws, queued, name)
    converted(aws, queued, *AWKWARD)
    assert keys(aws, queued, "_failed/") == set()
    assert len(keys(aws, queued, "parquet/")) == len(keys(aws, queued, "avro/")) == 20
    assert messages(aws, queued.outputs["DeadLetterQueueUrl"]) == 0


def test_a_poison_object_ends_in_the_dead_letter_queue_with_its_reason(aws: Aws, queued: Stack) -> None:
    queues = aws.client("sqs")
    url = queued.outputs["SourceQueueUrl"]
    told = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"])[
        "Attributes"
    ]
    assert told["VisibilityTimeout"] == "1800"
    assert int(json.loads(told["RedrivePolicy"])["maxReceiveCount"]) == 10
    # half an hour between two tries, ten times: only the waiting is shortened
    queues.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    put(aws, queued, POISON, POISONED)
    dead = queued.outputs["DeadLetterQueueUrl"]
    until(lambda: messages(aws, dead) == 1, "the dead letter")
    (message,) = queues.receive_message(QueueUrl=dead)["Messages"]
    assert json.loads(message["Body"])["detail"]["object"]["key"] == PREFIX + POISON
    why = json.loads(read(aws, queued.outputs["OutputBucketName"], f"{OUTPUT_PREFIX}_failed/{POISON}.json"))
    assert "2 of 10 records are rejected" in why["reason"]
    assert [reject["reason"] for reject in why["rejects"]] == ["field_count", "field_count"]
    assert f"{POISON}.json" not in keys(aws, queued, "_manifests/")


def messages(aws: Aws, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(told[name]) for name in names)


# ------------------------------------------------------------------ without the queue


def test_s3_may_invoke_the_function_itself(aws: Aws, notified: Stack) -> None:
    put(aws, notified, "a b+c.csv")
    converted(aws, notified, "a b+c.csv")


# ------------------------------------------------------------------ on Fargate


def test_a_task_knows_what_the_function_has_converted(aws: Aws, notified: Stack) -> None:
    """No engine runs its container here; its command and environment are run as they stand in the task's definition."""
    put(aws, notified, "shared.csv")
    converted(aws, notified, "shared.csv")
    described = task(aws, notified)
    environment = {one["name"]: one["value"] for one in described["environment"]} | {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": stack.REGION,
    }
    command = [sys.executable, *described["entryPoint"][1:], *described["command"], "--json"]
    ran = subprocess.run(command, env=environment, cwd=stack.ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    files = json.loads(ran.stdout)["files"]
    assert files["converted"] == 0
    assert files["skipped"] == len(keys(aws, notified, "_manifests/"))


def task(aws: Aws, beside: Stack) -> dict[str, Any]:
    """Create the task's stack beside another one, take it down again, and return the container as it was defined."""
    ecr = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    parameters = {name: beside.outputs[name] for name in ("InputBucketName", "OutputBucketName", "ConversionPolicyArn")}
    parameters |= {
        "ImageUri": f"{ecr}/csv-transcode:1",
        "RepositoryArn": "arn:aws:ecr:eu-central-1:123456789012:repository/csv-transcode",
        "ClusterArn": "arn:aws:ecs:eu-central-1:123456789012:cluster/batch",
        "Subnets": "subnet-12345678",
        "SecurityGroups": "sg-12345678",
        "SweepSchedule": "rate(1 day)",
    }
    made = stack.create(aws, "fargate", parameters, FARGATE)
    defined = aws.client("ecs").describe_task_definition(taskDefinition=made.outputs["TaskDefinitionArn"])
    (container,) = defined["taskDefinition"]["containerDefinitions"]
    stack.delete(aws, made)
    described: dict[str, Any] = container
    return described


# ------------------------------------------------------------------ by the schedule


def test_the_schedule_sweeps(aws: Aws, swept: Stack) -> None:
    converted(aws, swept, "day.csv")


# ------------------------------------------------------------------ and away


def test_delete_leaves_nothing(
    aws: Aws, before: dict[str, set[str]], swept: Stack, queued: Stack, notified: Stack
) -> None:
    for made in (swept, queued, notified):
        for bucket in ("InputBucketName", "OutputBucketName"):
            stack.empty(aws, made.outputs[bucket])
        stack.delete(aws, made)
    stack.empty(aws, stack.ARTIFACTS)
    aws.client("s3").delete_bucket(Bucket=stack.ARTIFACTS)
    assert standing(aws) == before


def standing(aws: Aws) -> dict[str, set[str]]:
    """Return the names of everything that the template can make."""
    asked: dict[str, tuple[str, str, str, str]] = {
        "buckets": ("s3", "list_buckets", "Buckets", "Name"),
        "functions": ("lambda", "list_functions", "Functions", "FunctionName"),
        "layers": ("lambda", "list_layers", "Layers", "LayerName"),
        "mappings": ("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
        "rules": ("events", "list_rules", "Rules", "Name"),
        "machines": ("stepfunctions", "list_state_machines", "stateMachines", "name"),
        "roles": ("iam", "list_roles", "Roles", "RoleName"),
        "log groups": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "topics": ("sns", "list_topics", "Topics", "TopicArn"),
        "dashboards": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        "schedules": ("scheduler", "list_schedules", "Schedules", "Name"),
        "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    }
    found = {
        what: {one[name] for one in getattr(aws.client(service), method)().get(listed, ())}
        for what, (service, method, listed, name) in asked.items()
    }
    policies = aws.client("iam").list_policies(Scope="Local")["Policies"]
    queues = aws.client("sqs").list_queues().get("QueueUrls", ())
    tasks = aws.client("ecs").list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    return found | {"policies": {one["PolicyName"] for one in policies}, "queues": {*queues}, "tasks": {*tasks}}

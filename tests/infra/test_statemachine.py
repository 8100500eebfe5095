"""The state machine of backfills: its definition, and what an engine makes of it.

MiniStack runs it from the stack of the real template. It knows neither batches nor ResultWriter: so the state within
the map and those behind it run there once more by themselves, on what Step Functions documents that it hands over.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

import pytest

from demo import stack
from demo.server import PYTHON, running
from tests.conftest import not_installed
from tests.infra.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.stack import Aws, Stack

DEFINITION: Final = stack.ROOT / "infra" / "statemachine.asl.json"
VALUES: Final = {
    "FunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:converter:live",
    "InputBucket": "landing",
    "Prefix": "in/",
    "OutputBucket": "lake",
    "ResultsPrefix": "processed/_backfills/",
    "MaxConcurrency": "20",
}
MAPS: Final = {"ConvertListing": "ListedBatch", "ConvertInventory": "InventoryBatch"}
INPUT_BYTES_MAX: Final = 262_144  # of an execution, and of a task's result: AWS's quotas
MINUTES_TRIED: Final = 15  # a throttled function, or a bucket that says SlowDown, should get better within
# What Lambda throws before the function has run, or where nobody knows whether it has: AWS's best practices.
LAMBDA_ERRORS: Final = {
    "Lambda.TooManyRequestsException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
}


def written() -> str:
    return DEFINITION.read_text(encoding="utf-8")


def filled_text() -> str:
    """Return the definition as CloudFormation hands it over, with VALUES for its substitutions."""
    text = written()
    for name, value in VALUES.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def filled() -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(filled_text())
    return definition


def states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every state, those within maps too."""
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


class TestDefinition:
    def test_every_substitution_is_the_templates(self) -> None:
        given = Template().properties("Backfill")["DefinitionSubstitutions"]
        assert set(re.findall(r"\$\{(\w+)\}", written())) == set(given) == set(VALUES)

    def test_results_lie_where_the_function_reads_them(self) -> None:
        given = Template(OutputPrefix="lake/").properties("Backfill")["DefinitionSubstitutions"]
        assert given["ResultsPrefix"].startswith("lake/_")

    def test_every_state_has_a_name_of_its_own_and_is_reached(self) -> None:
        names = [name for name, _ in states(filled())]
        assert len(names) == len(set(names))
        for scope in (filled(), *(state["ItemProcessor"] for _, state in states(filled()) if "ItemProcessor" in state)):
            named = {scope["StartAt"]}
            for state in scope["States"].values():
                named |= {state[key] for key in ("Next", "Default") if key in state}
                named |= {choice["Next"] for choice in state.get("Choices", ())}
                assert ("Next" in state) + ("End" in state) + (state["Type"] in ("Choice", "Succeed", "Fail")) == 1
            assert named == scope["States"].keys()

    def test_both_maps_are_the_same_but_for_where_items_come_from(self) -> None:
        listing, inventory = ({**filled()["States"][name]} for name in MAPS)
        for one in (listing, inventory):
            for name in ("ItemReader", "Label", "Comment"):
                del one[name]
            processor = one["ItemProcessor"]
            one["ItemProcessor"] = {**processor, "StartAt": "", "States": list(processor["States"].values())}
        assert listing == inventory

    def test_a_listing_and_an_inventory_are_read_as_aws_has_them(self) -> None:
        readers = [filled()["States"][name]["ItemReader"] for name in MAPS]
        assert readers == [
            {
                "Resource": "arn:aws:states:::s3:listObjectsV2",
                "Parameters": {"Bucket": "landing", "Prefix.$": "$.prefix"},
            },
            {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "MANIFEST"},
                "Parameters": {"Bucket.$": "$.inventory.bucket", "Key.$": "$.inventory.key"},
            },
        ]

    @pytest.mark.parametrize("name", MAPS)
    def test_a_map_goes_on_whatever_fails_and_keeps_every_result(self, name: str) -> None:
        state = filled()["States"][name]
        assert state["ToleratedFailurePercentage"] == 100
        assert state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
        assert state["ItemBatcher"]["MaxInputBytesPerBatch"] < INPUT_BYTES_MAX
        assert state["ResultWriter"] == {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": "lake", "Prefix": "processed/_backfills/"},
            "WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSONL"},
        }

    def test_only_what_may_pass_is_retried_slower_each_time_and_not_all_at_once(self) -> None:
        tasks = {name: state for name, state in states(filled()) if state["Type"] == "Task"}
        assert set(tasks) == {*MAPS.values(), "SumUp"}
        for task in tasks.values():
            ours, lambdas = task["Retry"]
            assert (ours["ErrorEquals"], set(lambdas["ErrorEquals"])) == (["RetryableError"], LAMBDA_ERRORS)
            for retrier in (ours, lambdas):
                assert retrier["BackoffRate"] > 1
                assert retrier["JitterStrategy"] == "FULL"
                waits = [
                    min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** number, retrier["MaxDelaySeconds"])
                    for number in range(retrier["MaxAttempts"])
                ]
                assert sum(waits) / 2 / 60 < MINUTES_TRIED < 60 < sum(waits)
            assert "Catch" not in task


# ---------------------------------------------------------------------- an engine

GOOD: Final = b"id,text\n1,one\n2,two\n"
BAD: Final = b"id,text\n1,one\n2,two,and more\n"
KEYS: Final = [f"in/2026/{number:02} Größe+50%.csv" for number in range(50)]
BAD_KEY: Final = "in/2026/99 bad.csv"
SECONDS_MAX: Final = 60.0
AT_ONCE: Final = 2


@dataclass(frozen=True)
class Deployed:
    """The template's stack, with a state machine that MiniStack does not run 64 times at once."""

    aws: Aws
    stack: Stack
    url: str

    @property
    def machine(self) -> str:
        return self.stack.resources["Backfill"]

    @property
    def definition(self) -> dict[str, Any]:
        states = self.aws.client("stepfunctions")
        text = states.describe_state_machine(stateMachineArn=self.machine)["definition"]
        definition: dict[str, Any] = json.loads(text)
        return definition

    def run(self, asked: object, machine: str = "") -> dict[str, Any]:
        """Run the state machine to its end; return what DescribeExecution says."""
        client = self.aws.client("stepfunctions")
        arn = client.start_execution(stateMachineArn=machine or self.machine, input=json.dumps(asked))["executionArn"]
        give_up = time.monotonic() + SECONDS_MAX
        while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < give_up, "still running"
            time.sleep(0.05)
        ended: dict[str, Any] = found
        return ended

    def part(self, name: str, start: str, states: dict[str, Any]) -> str:
        """Create a state machine of some states of the deployed one; return its ARN."""
        text = json.dumps({"StartAt": start, "States": states})
        role = "arn:aws:iam::000000000000:role/backfill"
        created = self.aws.client("stepfunctions").create_state_machine(name=name, definition=text, roleArn=role)
        return str(created["stateMachineArn"])


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    if not PYTHON.exists():
        not_installed("MiniStack is not installed: `make .venv-emulators/stamp` does that")
    with running(tmp_path_factory.mktemp("ministack")) as url:
        aws = stack.Aws(url)
        parameters = {"InputBucketName": "landing", "OutputBucketName": "lake", "Trigger": "none"}
        made = Deployed(aws, stack.create(aws, "backfills", parameters), url)
        s3 = aws.client("s3")
        for key in KEYS:
            s3.put_object(Bucket="landing", Key=key, Body=GOOD)
        s3.put_object(Bucket="landing", Key=BAD_KEY, Body=BAD)
        s3.put_object(Bucket="landing", Key="in/2026/notes.md", Body=b"# no source")
        # MiniStack reads MaxConcurrency alone, and starts a process for each of 64 children where it is not there.
        definition = made.definition
        for name in MAPS:
            assert definition["States"][name].pop("MaxConcurrencyPath") == "$.max_concurrency"
            definition["States"][name]["MaxConcurrency"] = AT_ONCE
        states = aws.client("stepfunctions")
        states.update_state_machine(stateMachineArn=made.machine, definition=json.dumps(definition))
        yield made


def failures(ended: dict[str, Any]) -> list[tuple[str, str]]:
    assert (ended["status"], ended["error"]) == ("FAILED", "FilesFailed")
    return [(one["outcome"], one["key"]) for one in json.loads(ended["cause"])["results"]]


def counts(ended: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = json.loads(ended["cause"] if ended["status"] == "FAILED" else ended["output"])["files"]
    return found


def listed(key: str) -> dict[str, Any]:
    """Return an item of s3:listObjectsV2, as Step Functions documents it."""
    etag = '"0123456789abcdef0123456789abcdef"'
    return {"Etag": etag, "Key": key, "LastModified": 1793512801.0, "Size": 20, "StorageClass": "STANDARD"}


def inventoried(key: str) -> dict[str, Any]:
    """Return a row of an S3 Inventory, of which every value is a text and the key is URL-encoded."""
    return {"Bucket": "landing", "Key": quote_plus(key), "Size": "20", "LastModifiedDate": "2026-11-22T06:00:01.000Z"}


@pytest.mark.integration
class TestEngine:
    # In this order: the second run needs the first.
    def test_fifty_are_converted_and_a_bad_one_is_reported_without_stopping_them(self, deployed: Deployed) -> None:
        ended = deployed.run({"prefix": "in/2026/"})
        assert counts(ended) == {"converted": 50, "skipped": 1, "failed": 1, "deferred": 0}
        assert failures(ended) == [("failed", BAD_KEY)]
        assert "record 2 (line 3, byte 14): 3 fields, header has 2" in ended["cause"]
        listed = deployed.aws.client("s3").list_objects_v2(Bucket="lake", Prefix="processed/_manifests/")["Contents"]
        assert [one["Key"] for one in listed] == [
            f"processed/_manifests/{key.removeprefix('in/')}.json" for key in KEYS
        ]

    def test_a_second_run_skips_what_is_done(self, deployed: Deployed) -> None:
        ended = deployed.run({"prefix": "in/2026/"})
        assert counts(ended) == {"converted": 0, "skipped": 51, "failed": 1, "deferred": 0}
        assert failures(ended) == [("failed", BAD_KEY)]

    def test_where_nothing_fails_it_succeeds(self, deployed: Deployed) -> None:
        ended = deployed.run({"prefix": "in/2026/0"})
        assert ended["status"] == "SUCCEEDED"
        assert counts(ended) == {"converted": 0, "skipped": 10, "failed": 0, "deferred": 0}

    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"prefix": "elsewhere/"},
            {"prefix": ""},
            {"prefix": None},
            {"prefix": 7},
            {"inventory": {"bucket": "lists"}},
            {"inventory": "s3://lists/manifest.json"},
            {"prefix": "in/", "inventory": {"bucket": "lists", "key": "manifest.json"}},
        ],
    )
    def test_what_it_does_not_understand_it_does_not_start(self, deployed: Deployed, asked: object) -> None:
        ended = deployed.run(asked)
        assert (ended["status"], ended["error"]) == ("FAILED", "WrongInput")
        assert "a text that begins with in/" in ended["cause"]

    @pytest.mark.parametrize(("name", "item"), [("ListedBatch", listed), ("InventoryBatch", inventoried)])
    def test_batches_and_their_written_results(
        self, deployed: Deployed, name: str, item: Callable[[str], dict[str, Any]]
    ) -> None:
        definition = deployed.definition["States"]
        parent = next(parent for parent, batch in MAPS.items() if batch == name)
        batch = deployed.part(name, name, definition[parent]["ItemProcessor"]["States"])
        keys = [*KEYS[:25], BAD_KEY, "in/2026/notes.md"]
        first = deployed.run({"Items": [item(key) for key in keys], "BatchInput": {}}, batch)
        assert first["status"] == "SUCCEEDED", first
        kept = json.loads(first["output"])
        assert kept["files"] == {"converted": 0, "skipped": 26, "failed": 1, "deferred": 0}
        assert [one["key"] for one in kept["failures"]] == [BAD_KEY]

        lost = {"Items": [listed("in/2026/lost.csv")], "BatchInput": {}}
        results = {
            "SUCCEEDED": [kept, kept],
            "FAILED": [
                {"Input": json.dumps(lost), "Status": "FAILED", "Error": "Sandbox.Timedout", "Cause": "timed out"}
            ],
        }
        tail = ("SumUp", "Verdict", "AllConverted", "FilesFailed")
        rest = deployed.part(f"{name}-tail", "SumUp", {state: definition[state] for state in tail})
        ended = deployed.run({"results": written_by_step_functions(deployed, name, results)}, rest)
        assert counts(ended) == {"converted": 0, "skipped": 52, "failed": 3, "deferred": 0}
        assert failures(ended)[0] == ("failed", "in/2026/lost.csv")
        assert failures(ended)[1:] == [("failed", BAD_KEY)] * 2
        assert json.loads(ended["cause"])["batches"] == {"all": 3, "unfinished": 1}

    def test_the_command_line_starts_follows_and_sums_up(self, deployed: Deployed) -> None:
        environment = {**os.environ, "AWS_ENDPOINT_URL": deployed.url}
        command = [sys.executable, "-m", "csv_transcode", "backfill", "s3://landing/in/2026/", "--stack", "backfills"]
        ended = subprocess.run(
            command, cwd=stack.ROOT, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
        assert ended.returncode == 1, ended.stderr
        told, summary = ended.stdout.splitlines()
        assert told.startswith(f"failed: {BAD_KEY}: 1 of 2 records are rejected")
        assert summary.startswith("0 converted, 51 skipped, 1 failed, 0 deferred; 0 records written, 0 rejected")
        assert ended.stderr.startswith(f"started {deployed.machine.replace(':stateMachine:', ':execution:')}:")

    def test_the_command_line_plans_from_the_stack(self, deployed: Deployed) -> None:
        environment = {**os.environ, "AWS_ENDPOINT_URL": deployed.url}
        options = ["s3://landing/in/2026/", "--stack", "backfills", "--dry-run", "--json"]
        command = [sys.executable, "-m", "csv_transcode", "backfill", *options]
        ended = subprocess.run(
            command, cwd=stack.ROOT, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
        plan = json.loads(ended.stdout)
        assert (ended.returncode, plan["objects"]) == (0, {"converted": 1, "standing": 50, "skipped": 1})
        assert plan["assumes"]["memory_mb"] == int(Template().parameters["MemorySize"])


def written_by_step_functions(deployed: Deployed, name: str, results: dict[str, list[Any]]) -> dict[str, Any]:
    """Put results where ResultWriter would, as it documents manifest and files; return the map's output."""
    s3 = deployed.aws.client("s3")
    folder = f"processed/_backfills/{name}"
    files: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status, lines in results.items():
        body = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        key = f"{folder}/{status}_0.jsonl"
        s3.put_object(Bucket="lake", Key=key, Body=body)
        files[status].append({"Key": key, "Size": len(body)})
    manifest = {"DestinationBucket": "lake", "MapRunArn": "arn", "ResultFiles": files}
    s3.put_object(Bucket="lake", Key=f"{folder}/manifest.json", Body=json.dumps(manifest).encode())
    return {"MapRunArn": "arn", "ResultWriterDetails": {"Bucket": "lake", "Key": f"{folder}/manifest.json"}}

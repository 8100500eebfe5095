"""The command line's ``backfill``: what it asks of AWS, what it says, how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError
from msgspec.structs import replace

from csv_transcode.aws.backfills import Backfills, make_client
from csv_transcode.cli.backfill import backfill
from csv_transcode.cli.call import Call
from csv_transcode.cli.screen import Screen
from csv_transcode.cli.verbs import parser
from csv_transcode.errors import BackfillError, SettingsError
from csv_transcode.runtime import Runtime
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.infra.test_statemachine import filled_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

MACHINE: Final = "arn:aws:states:eu-central-1:123456789012:stateMachine:csv-transcode-backfill"
EXECUTION: Final = "arn:aws:states:eu-central-1:123456789012:execution:csv-transcode-backfill:1b2c"
IN: Final = f"s3://{INPUT_BUCKET}/in/"
BEGUN: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
BY_STACK: Final = ("--stack", "csv-transcode")
DONE: Final = {
    "files": {"converted": 3, "skipped": 2, "failed": 0, "deferred": 0},
    "records": {"read": 31, "written": 30, "rejected": 1},
    "results": [],
}
MISSED: Final = DONE | {
    "files": {"converted": 3, "skipped": 2, "failed": 40, "deferred": 1},
    "results": [
        {"key": "in/\x1b[2Jbad.csv", "outcome": "failed", "reason": "3 fields, header has 2"},
        {"key": "in/later.csv", "outcome": "deferred", "reason": "its batch of 1 did not end: RetryableError: busy"},
    ],
    "results_cut": 39,
    "exported_to": "processed/_backfills/1b2c/manifest.json",
}


@dataclass
class Account:
    """Step Functions, CloudFormation and Lambda of one account, as far as they are asked; ``asked`` is what they were.

    The execution is RUNNING for as many looks as ``looks``, then it has ended as ``ended`` says.
    """

    ended: dict[str, Any] = field(default_factory=lambda: {"status": "SUCCEEDED", "output": json.dumps(DONE)})
    looks: int = 0
    grows: int = 0  # of what has succeeded, at each look
    machines: tuple[str, ...] = (MACHINE,)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    error: Exception | None = None

    def __call__(self, _service: str) -> Account:
        return self

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def ask(**parameters: Any) -> dict[str, Any]:
            self.asked.append((operation, parameters))
            if self.error:
                raise self.error
            answer: dict[str, Any] = getattr(self, f"_{operation}")()
            return answer

        return ask

    def _describe_stack_resources(self) -> dict[str, Any]:
        kind = "AWS::StepFunctions::StateMachine"
        others = [{"ResourceType": "AWS::Lambda::Function", "PhysicalResourceId": "converter"}]
        found = [{"ResourceType": kind, "PhysicalResourceId": machine} for machine in self.machines]
        return {"StackResources": others + found}

    def _describe_state_machine(self) -> dict[str, Any]:
        return {"definition": filled_text()}

    def _get_function_configuration(self) -> dict[str, Any]:
        variables = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET, "PREFIX": "in/"}
        return {
            "MemorySize": 2048,
            "Timeout": 300,
            "Architectures": ["arm64"],
            "Environment": {"Variables": variables},
        }

    def _start_execution(self) -> dict[str, Any]:
        return {"executionArn": EXECUTION}

    def _stop_execution(self) -> dict[str, Any]:
        return {"stopDate": BEGUN}

    def _describe_execution(self) -> dict[str, Any]:
        self.looks -= 1
        if self.looks >= 0:
            return {"status": "RUNNING", "startDate": BEGUN}
        return {"startDate": BEGUN, "stopDate": BEGUN + timedelta(seconds=90), **self.ended}

    def _list_map_runs(self) -> dict[str, Any]:
        return {"mapRuns": [{"mapRunArn": "run"}] if self.looks < 40 else []}

    def _describe_map_run(self) -> dict[str, Any]:
        looked = sum(operation == "describe_map_run" for operation, _ in self.asked) - 1
        counts = {
            "total": 1000,
            "succeeded": 500 + self.grows * looked,
            "failed": 3,
            "timedOut": 1,
            "aborted": 0,
            "running": 7,
        }
        return {"itemCounts": counts}


class Interrupted(Account):
    """Where Ctrl-C comes before the answer."""

    def _start_execution(self) -> dict[str, Any]:
        raise KeyboardInterrupt


@dataclass
class Time:
    """A clock that only sleeping moves; the ``interrupted``th sleep is Ctrl-C."""

    now: float = 0.0
    sleeps: int = 0
    interrupted: int | None = None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps += 1
        if self.sleeps == self.interrupted:
            raise KeyboardInterrupt


def run(account: Account, *arguments: str, clock: Time | None = None) -> int:
    clock = clock or Time()
    runtime = replace(Runtime(), clock=lambda: clock.now, sleep=clock.sleep)
    options = parser().parse_args(["backfill", *arguments])
    return backfill(Call(options, {}, Screen(quiet=options.quiet, runtime=runtime), runtime), Backfills(account))


def started(account: Account) -> dict[str, Any]:
    (asked,) = [parameters for operation, parameters in account.asked if operation == "start_execution"]
    assert asked["stateMachineArn"] == MACHINE
    found: dict[str, Any] = json.loads(asked["input"])
    return found


@pytest.fixture
def landing(s3: S3Client) -> S3Client:
    for number in range(3):
        s3.put_object(Bucket=INPUT_BUCKET, Key=f"in/2026/{number}.csv", Body=b"id\n1\n")
    s3.put_object(Bucket=INPUT_BUCKET, Key="in/2026/notes.md", Body=b"no source")
    return s3


@pytest.mark.usefixtures("landing")
class TestStarting:
    @pytest.mark.parametrize("by", [BY_STACK, ("--state-machine", MACHINE)])
    def test_starts_follows_and_sums_up(self, by: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        account = Account(looks=3)
        assert run(account, f"{IN}2026/", *by) == 0
        assert started(account) == {"prefix": "in/2026/", "batch_items": 500}
        told = capsys.readouterr()
        assert told.err.splitlines() == [f"started {EXECUTION}"]
        assert told.out == "3 converted, 2 skipped, 0 failed, 0 deferred; 30 records written, 1 rejected in 90 s\n"

    def test_says_now_and_then_how_far_it_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(Account(looks=50), f"{IN}2026/", *BY_STACK) == 0
        lines = capsys.readouterr().err.splitlines()
        assert lines[1:3] == [
            "being listed, 10 s by now",
            " 50% of 1,000 objects, 7 under way, 4 in batches that failed",
        ]
        assert len(lines) == 100 // 10  # started, and one for each ten seconds of 98

    def test_time_left_is_told_by_what_was_done_while_it_was_followed(self, capsys: pytest.CaptureFixture[str]) -> None:
        account = Account(looks=15, grows=10)  # 500 before, 10 more at each look, two seconds apart
        assert run(account, "--follow", EXECUTION) == 0
        assert capsys.readouterr().err.splitlines() == [
            " 55% of 1,000 objects, 89 s left, 7 under way, 4 in batches that failed",
            " 60% of 1,000 objects, 79 s left, 7 under way, 4 in batches that failed",
        ]

    def test_takes_concurrency_and_batches_as_they_are_given(self) -> None:
        account = Account()
        assert run(account, f"{IN}2026/", *BY_STACK, "--concurrency", "7", "--batch", "3") == 0
        assert started(account) == {"prefix": "in/2026/", "max_concurrency": 7, "batch_items": 3}

    @pytest.mark.long
    def test_batches_are_smaller_where_objects_are_larger(self, landing: S3Client) -> None:
        landing.put_object(Bucket=INPUT_BUCKET, Key="in/big/0.csv", Body=bytes(100_000_000))
        account = Account()
        assert run(account, f"{IN}big/", *BY_STACK) == 0
        # 100 s, a third of the timeout, at 52 MB/s: 1.9 s an object
        assert started(account)["batch_items"] == 51

    def test_an_inventory_is_named_by_its_manifest(self) -> None:
        account = Account()
        assert run(account, "--inventory", "s3://lists/landing/all/manifest.json", *BY_STACK) == 0
        assert started(account) == {"inventory": {"bucket": "lists", "key": "landing/all/manifest.json"}}

    def test_nothing_there_is_an_error_before_anything_is_started(self) -> None:
        account = Account()
        with pytest.raises(BackfillError, match="nothing lies under it"):
            run(account, f"{IN}2027/", *BY_STACK)
        assert "start_execution" not in [operation for operation, _ in account.asked]

    def test_left_alone_and_quiet_its_arn_is_what_it_writes(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(Account(looks=1), f"{IN}2026/", *BY_STACK, "--detach", "--quiet") == 0
        assert tuple(capsys.readouterr()) == (f"{EXECUTION}\n", "")

    def test_has_a_name_by_which_a_repeated_request_is_the_same(self) -> None:
        """The SDK repeats what was not answered: the name is the call's, and no two calls have the same."""
        names = []
        for _ in range(2):
            account = Account()
            assert run(account, f"{IN}2026/", *BY_STACK) == 0
            names += [asked["name"] for operation, asked in account.asked if operation == "start_execution"]
        assert [len(name) for name in names] == [32, 32]
        assert names[0] != names[1]

    def test_ctrl_c_while_it_is_started_says_that_it_may_be(self, capsys: pytest.CaptureFixture[str]) -> None:
        account = Interrupted()
        assert run(account, f"{IN}2026/", *BY_STACK, "--quiet") == 130
        (asked,) = [asked for operation, asked in account.asked if operation == "start_execution"]
        arn = EXECUTION.rpartition(":")[0] + f":{asked['name']}"
        assert capsys.readouterr().err.splitlines() == [
            "interrupted: the backfill may have started",
            f"  follow it:  python -m csv_transcode backfill --follow {arn}",
            f"  stop it:    python -m csv_transcode backfill --stop {arn}",
        ]

    def test_may_be_left_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        account = Account(looks=1)
        assert run(account, f"{IN}2026/", *BY_STACK, "--detach", "--json", "--quiet") == 0
        assert json.loads(capsys.readouterr().out) == {"execution": EXECUTION}
        assert "describe_execution" not in [operation for operation, _ in account.asked]


class TestFollowing:
    def test_what_failed_is_listed_and_ends_with_one(self, capsys: pytest.CaptureFixture[str]) -> None:
        account = Account({"status": "FAILED", "error": "FilesFailed", "cause": json.dumps(MISSED)})
        assert run(account, "--follow", EXECUTION) == 1
        assert capsys.readouterr().out.splitlines() == [
            "failed: in/\\x1b[2Jbad.csv: 3 fields, header has 2",
            "deferred: in/later.csv: its batch of 1 did not end: RetryableError: busy",
            "and 39 more that failed or were deferred; all batches' results: processed/_backfills/1b2c/manifest.json",
            "3 converted, 2 skipped, 40 failed, 1 deferred; 30 records written, 1 rejected in 90 s",
        ]

    def test_what_was_deferred_alone_ends_with_one_too(self) -> None:
        missed = DONE | {"files": {"converted": 3, "skipped": 2, "failed": 0, "deferred": 1}}
        account = Account({"status": "FAILED", "error": "FilesFailed", "cause": json.dumps(missed)})
        assert run(account, "--follow", EXECUTION) == 1

    def test_the_summary_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        account = Account({"status": "FAILED", "error": "FilesFailed", "cause": json.dumps(MISSED)})
        assert run(account, "--follow", EXECUTION, "--json") == 1
        told = capsys.readouterr().out
        assert json.loads(told) == {"execution": EXECUTION} | MISSED
        assert "\x1b" not in told

    def test_ctrl_c_ends_the_following_and_says_how_to_go_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        account = Account(looks=9)
        assert run(account, "--follow", EXECUTION, "--quiet", clock=Time(interrupted=2)) == 130
        assert capsys.readouterr().err.splitlines() == [
            "interrupted: the backfill goes on",
            f"  follow it:  python -m csv_transcode backfill --follow {EXECUTION}",
            f"  stop it:    python -m csv_transcode backfill --stop {EXECUTION}",
        ]
        assert "stop_execution" not in [operation for operation, _ in account.asked]

    def test_an_end_that_is_none_of_ours_is_an_error(self) -> None:
        account = Account({"status": "FAILED", "error": "States.ItemReaderFailed", "cause": "access denied"})
        with pytest.raises(BackfillError, match=r"ended as FAILED: States\.ItemReaderFailed: access denied"):
            run(account, "--follow", EXECUTION)

    def test_where_it_cannot_be_followed_it_goes_on(self) -> None:
        account = Account(error=EndpointConnectionError(endpoint_url="https://states"))
        with pytest.raises(
            BackfillError, match=f"nothing has ended the backfill by that: backfill --follow {EXECUTION}"
        ):
            run(account, "--follow", EXECUTION)

    def test_stop_stops(self, capsys: pytest.CaptureFixture[str]) -> None:
        account = Account()
        assert run(account, "--stop", EXECUTION) == 0
        assert account.asked == [("stop_execution", {"executionArn": EXECUTION})]
        assert capsys.readouterr().err.startswith(f"stopped {EXECUTION}: what is converted stands")


@pytest.mark.usefixtures("landing")
class TestDryRun:
    def test_counts_estimates_and_starts_nothing(self, landing: S3Client, capsys: pytest.CaptureFixture[str]) -> None:
        landing.put_object(Bucket=OUTPUT_BUCKET, Key="processed/_manifests/2026/1.csv.json", Body=b"{}")
        account = Account()
        assert run(account, f"{IN}2026/", *BY_STACK, "--dry-run") == 0
        assert [operation for operation, _ in account.asked] == [
            "describe_stack_resources",
            "describe_state_machine",
            "get_function_configuration",
        ]
        lines = capsys.readouterr().out.splitlines()
        assert lines[:3] == [
            "2 objects to convert, 0.0 kB, the largest 0.0 kB",
            "1 seem converted: their manifest is no older; the function makes sure, by two requests",
            "1 skipped: its suffix is not one of a CSV source",
        ]
        assert lines[4] == "about 2 s: 1 batch of at most 500 objects, 1 function at once"
        assert lines[5] == "under $0.01: Lambda under $0.01, Step Functions under $0.01, S3 requests under $0.01"
        assert lines[7].startswith(
            "assuming 52 MB/s and 0.026 s an object in a function of 2,048 MB (arm64, 300 s), and "
        )

    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(Account(), f"{IN}2026/", *BY_STACK, "--dry-run", "--json", "--concurrency", "3", "--batch", "1") == 0
        plan = json.loads(capsys.readouterr().out)
        assert (plan["objects"], plan["batches"], plan["concurrency"]) == (
            {"converted": 3, "standing": 0, "skipped": 1},
            4,
            3,
        )


class TestMisuse:
    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ((), "one of SOURCE, --inventory, --follow and --stop, found none"),
            ((IN, "--follow", EXECUTION), "found SOURCE and --follow"),
            ((IN, "--inventory", "s3://lists/manifest.json", *BY_STACK), "found SOURCE and --inventory"),
            ((IN,), "--stack or --state-machine says which"),
            ((IN, *BY_STACK, "--state-machine", MACHINE), "--stack or --state-machine says which"),
            (("--inventory", "s3://lists/manifest.json", *BY_STACK, "--dry-run"), "so it wants SOURCE"),
            ((IN, *BY_STACK, "--batch", "0"), "--batch 0: at least 1"),
            ((IN, *BY_STACK, "--concurrency", "-1"), "--concurrency -1: at least 1"),
            ((f"s3://{OUTPUT_BUCKET}/in/", *BY_STACK), f"what lies under s3://{INPUT_BUCKET}/in/"),
            ((f"s3://{INPUT_BUCKET}/out/", *BY_STACK), f"what lies under s3://{INPUT_BUCKET}/in/"),
            (("in/", *BY_STACK), "SOURCE in/: expected s3://bucket/"),
            (("--inventory", "manifest.json", *BY_STACK), "--inventory manifest.json: expected s3://bucket/"),
        ],
    )
    def test_is_refused(self, arguments: tuple[str, ...], why: str) -> None:
        account = Account()
        with pytest.raises(SettingsError) as refused:
            run(account, *arguments)
        assert why in str(refused.value)
        assert "start_execution" not in [operation for operation, _ in account.asked]


class TestAws:
    @pytest.mark.parametrize(("machines", "found"), [((), 0), ((MACHINE, f"{MACHINE}2"), 2)])
    def test_a_stack_has_one_state_machine(self, machines: tuple[str, ...], found: int) -> None:
        with pytest.raises(BackfillError, match=f"stack csv-transcode has {found} state machines, expected one"):
            run(Account(machines=machines), IN, *BY_STACK)

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (
                ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DescribeExecution"),
                f"DescribeExecution {EXECUTION}: AccessDenied: not you",
            ),
            (
                EndpointConnectionError(endpoint_url="https://states"),
                f"DescribeExecution {EXECUTION}: Could not connect",
            ),
        ],
    )
    def test_a_refusal_names_the_request_and_awss_words(self, error: Exception, why: str) -> None:
        with pytest.raises(BackfillError) as refused:
            run(Account(error=error), "--follow", EXECUTION)
        assert str(refused.value).startswith(why)

    @pytest.mark.parametrize("status", [200, 500])
    @pytest.mark.parametrize("arguments", [("--follow", EXECUTION), (IN, *BY_STACK), (IN, "--state-machine", MACHINE)])
    def test_a_proxy_s_page_is_no_answer(
        self, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int
    ) -> None:
        def page(request: Any, **_: object) -> AWSResponse:
            raw: Any = io.BytesIO(b"<html><body>Please log in.<p></body></html>")
            raw.stream = lambda **_: iter([raw.read()])
            return AWSResponse(request.url, status, {"content-type": "text/html"}, raw)

        monkeypatch.setattr("csv_transcode.aws.backfills.ATTEMPTS_MAX", 1)
        service = Backfills()
        for name in ("stepfunctions", "cloudformation"):
            client = make_client(name)
            client.meta.events.register("before-send", page)
            monkeypatch.setitem(vars(service), {"stepfunctions": "_states"}.get(name, "_stacks"), client)
        options = parser().parse_args(["backfill", *arguments])
        runtime = Runtime()
        why = r"is AWS_ENDPOINT_URL right\?" if status == 200 else "500: Internal Server Error"
        with pytest.raises(BackfillError, match=why):
            backfill(Call(options, {}, Screen(quiet=True, runtime=runtime), runtime), service)

    @pytest.mark.parametrize("service", ["stepfunctions", "cloudformation", "lambda"])
    def test_endpoint_region_and_credentials_come_as_usual(self, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        client = make_client(service)
        assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:9", "eu-central-1")
        assert client._request_signer._credentials.access_key == "testing"
        assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 6}

    def test_without_a_region_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        with pytest.raises(BackfillError, match="You must specify a region"):
            make_client("stepfunctions")

    def test_other_verbs_do_not_load_it(self) -> None:
        assert "csv_transcode.aws.backfills" in sys.modules  # by this file
        code = "import csv_transcode.__main__, sys; print(*(set(sys.modules) & {'botocore', 'csv_transcode.aws'}))"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == ""

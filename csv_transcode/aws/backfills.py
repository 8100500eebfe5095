"""Step Functions, CloudFormation and Lambda, asked for a backfill; every refusal is a BackfillError.

Credentials, region and endpoint come as usual, as they do for S3 (``s3/client.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.backfill import Counts, Execution, Function
from csv_transcode.errors import BackfillError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

STATE_MACHINE_TYPE: Final = "AWS::StepFunctions::StateMachine"
ATTEMPTS_MAX: Final = 6
CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 15
MAPS_MAX: Final = 10  # map runs of one execution: it has one, and another for each time it was redriven

Client = Any  # a type for each service would be a dependency for each


class Backfills:
    """What is asked of AWS for backfills. ``client`` returns the client of a service, when it is first needed."""

    def __init__(self, client: Callable[[str], Client] | None = None) -> None:
        self.client = client or make_client

    def state_machine_of(self, stack: str) -> str:
        """Return the ARN of the one state machine of a stack of infra/template.yaml."""
        with _translating(f"DescribeStackResources {stack}"):
            found = self._stacks.describe_stack_resources(StackName=stack)["StackResources"]
            machines = [one["PhysicalResourceId"] for one in found if one["ResourceType"] == STATE_MACHINE_TYPE]
        if len(machines) != 1:
            message = f"stack {stack} has {len(machines)} state machines, expected one: name it by --state-machine"
            raise BackfillError(message)
        return str(machines[0])

    def start(self, state_machine: str, asked: str, name: str) -> str:
        """Start the state machine with this input; return the execution's ARN.

        The SDK repeats a request whose answer was lost: by its ``name``, AWS knows it for the same.
        """
        with _translating(f"StartExecution {state_machine}"):
            started = self._states.start_execution(stateMachineArn=state_machine, input=asked, name=name)
            return str(started["executionArn"])

    def execution(self, arn: str) -> Execution:
        """Return an execution as it stands."""
        with _translating(f"DescribeExecution {arn}"):
            found = self._states.describe_execution(executionArn=arn)
            seconds = _seconds(found.get("startDate"), found.get("stopDate"))
            return Execution(arn, found["status"], found.get("output"), found.get("error"), found.get("cause"), seconds)

    def counts(self, arn: str) -> Counts:
        """Return how far the execution's map is; nothing while there is none."""
        with _translating(f"DescribeMapRun of {arn}"):
            runs = self._states.list_map_runs(executionArn=arn, maxResults=MAPS_MAX)["mapRuns"]
            if not runs:
                return Counts()
            items = self._states.describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"]
            failed = items["failed"] + items["timedOut"] + items["aborted"]
            return Counts(items["total"], items["succeeded"], failed, items["running"])

    def stop(self, arn: str) -> None:
        """End an execution."""
        with _translating(f"StopExecution {arn}"):
            self._states.stop_execution(executionArn=arn)

    def definition(self, state_machine: str) -> str:
        """Return a state machine's definition."""
        with _translating(f"DescribeStateMachine {state_machine}"):
            return str(self._states.describe_state_machine(stateMachineArn=state_machine)["definition"])

    def function(self, arn: str) -> Function:
        """Return a function's configuration."""
        with _translating(f"GetFunctionConfiguration {arn}"):
            found = self._functions.get_function_configuration(FunctionName=arn)
            environment = found.get("Environment", {}).get("Variables", {})
            architecture = (found.get("Architectures") or ["x86_64"])[0]
            return Function(found["MemorySize"], found["Timeout"], architecture, environment)

    @cached_property
    def _states(self) -> Client:
        return self.client("stepfunctions")

    @cached_property
    def _stacks(self) -> Client:
        return self.client("cloudformation")

    @cached_property
    def _functions(self) -> Client:
        return self.client("lambda")


def make_client(service: str) -> Client:
    """Return a client whose retries and time limits are stated."""
    import botocore.session  # noqa: PLC0415 -- 0.2 s, which the other verbs need not wait for
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
    )
    with _translating(f"a client of {service}"):
        return botocore.session.get_session().create_client(service, config=config)


@contextmanager
def _translating(request: str) -> Iterator[None]:
    """Turn whatever the SDK raises into a BackfillError that names the request, and AWS's own words."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        message = f"{request}: {told.get('Code', 'refused')}: {told.get('Message', 'no reason is given')}"
        raise BackfillError(message) from error
    except BotoCoreError as error:
        message = f"{request}: {error}"
        raise BackfillError(message) from error
    except (ResponseParserError, KeyError, TypeError, ValueError) as error:  # a proxy's page, whatever its status
        message = f"{request}: it answered what is no answer: is AWS_ENDPOINT_URL right? ({type(error).__name__})"
        raise BackfillError(message) from error


def _seconds(begun: datetime | None, ended: datetime | None) -> float | None:
    return (ended - begun).total_seconds() if begun and ended else None

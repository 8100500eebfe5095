"""A backfill as its state machine runs it: what is asked of it, how it is followed, and what came of it.

Nothing here knows the SDK: ``Service`` is what is asked of AWS, and ``aws/backfills.py`` asks it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from csv_transcode.errors import BackfillError
from csv_transcode.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from csv_transcode.runtime import Runtime

POLL_SECONDS: Final = 2.0
RUNNING: Final = ("RUNNING", "PENDING_REDRIVE")
SUCCEEDED: Final = "SUCCEEDED"
FILES_FAILED: Final = "FilesFailed"  # the state machine's own word, in infra/statemachine.asl.json
_CONCURRENCY: Final = re.compile(r"'max_concurrency': *(\d+)")
_FUNCTION_STATE: Final = "SumUp"
_COUNTED: Final = (Outcome.CONVERTED, Outcome.SKIPPED, Outcome.FAILED, Outcome.DEFERRED)


class Execution(Struct, frozen=True):
    """One run of the state machine; ``output`` is JSON, and so is ``cause`` where ``error`` is FILES_FAILED."""

    arn: str
    status: str
    output: str | None = None
    error: str | None = None
    cause: str | None = None
    seconds: float | None = None  # from its start to its end


class Counts(Struct, frozen=True):
    """How many of a map's items are where; all are 0 while they are still being listed."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    running: int = 0

    @property
    def done(self) -> int:
        """How many will not be touched any more."""
        return self.succeeded + self.failed


class Function(Struct, frozen=True):
    """The function behind a state machine, as far as a plan needs it."""

    memory_mb: int
    timeout_seconds: int
    architecture: str
    environment: Mapping[str, str]


class Service(Protocol):
    """What a backfill asks of AWS; BackfillError says what was refused."""

    def start(self, state_machine: str, asked: str, name: str) -> str:
        """Start the state machine with this input; return the execution's ARN.

        ``name`` is the execution's: asked for once more under the same, it is started once.
        """

    def execution(self, arn: str) -> Execution:
        """Return an execution as it stands."""

    def counts(self, arn: str) -> Counts:
        """Return how far the execution's map is."""

    def stop(self, arn: str) -> None:
        """End an execution."""

    def definition(self, state_machine: str) -> str:
        """Return a state machine's definition."""

    def function(self, arn: str) -> Function:
        """Return a function's configuration."""


class Machine(Struct, frozen=True):
    """A state machine: the function that it invokes, and how often at once if nobody says otherwise."""

    arn: str
    function: Function
    max_concurrency: int


def machine_of(service: Service, arn: str) -> Machine:
    """Return what stands behind a state machine of infra/statemachine.asl.json."""
    text = service.definition(arn)
    try:
        function = json.loads(text)["States"][_FUNCTION_STATE]["Arguments"]["FunctionName"]
    except (ValueError, KeyError, TypeError):
        message = f"{arn} is not a backfill: its definition is not that of infra/statemachine.asl.json"
        raise BackfillError(message) from None
    found = _CONCURRENCY.search(text)
    return Machine(arn, service.function(function), int(found[1]) if found else 1)


def asked_of_machine(
    *,
    prefix: str | None = None,
    inventory: tuple[str, str] | None = None,
    max_concurrency: int | None = None,
    batch_items: int | None = None,
) -> str:
    """Return the state machine's input: a prefix, or the (bucket, key) of an Inventory's manifest."""
    asked: dict[str, Any] = {}
    if inventory is not None:
        asked["inventory"] = {"bucket": inventory[0], "key": inventory[1]}
    else:
        asked["prefix"] = prefix
    if max_concurrency is not None:
        asked["max_concurrency"] = max_concurrency
    if batch_items is not None:
        asked["batch_items"] = batch_items
    return json.dumps(asked, ensure_ascii=False)


def execution_of(state_machine: str, name: str) -> str:
    """Return the ARN of the state machine's execution of that name."""
    return f"{state_machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def follow(service: Service, arn: str, runtime: Runtime, tell: Callable[[Counts, float], object]) -> Execution:
    """Return the execution once it has ended; ``tell`` gets its counts, and for how long it has been followed."""
    begun = runtime.clock()
    while (execution := service.execution(arn)).status in RUNNING:
        tell(service.counts(arn), runtime.clock() - begun)
        runtime.sleep(POLL_SECONDS)
    return execution


def summary_of(execution: Execution) -> dict[str, Any]:
    """Return what came of an execution that has ended; BackfillError where it ended without a summary."""
    text = execution.output if execution.status == SUCCEEDED else execution.cause
    if execution.status == SUCCEEDED or execution.error == FILES_FAILED:
        try:
            summary: dict[str, Any] = json.loads(text or "")
            _ = {outcome: summary["files"][outcome.value] for outcome in _COUNTED}
        except (ValueError, KeyError, TypeError):
            message = f"{execution.arn} ended as {execution.status}, and what it says of it is no summary"
            raise BackfillError(message) from None
        return summary
    why = ": ".join(filter(None, (execution.error, execution.cause))) or "no reason is given"
    message = f"{execution.arn} ended as {execution.status}: {why}"
    raise BackfillError(message)

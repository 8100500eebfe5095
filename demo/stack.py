"""The real template, infra/template.yaml, on an AWS of this machine: packaged as ``sam deploy`` does, and deployed."""

from __future__ import annotations

import io
import re
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from infra.package.building import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parent.parent
TEMPLATE: Final = ROOT / "infra" / "template.yaml"
ARTIFACTS: Final = "artifacts"  # the bucket that packages go through
REGION: Final = "us-east-1"
CAPABILITIES: Final = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
WAIT_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.1

DEPLOYMENT: Final = "0" * 16  # of template, zips and parameters, as infra/deploy.py sums them up; here nothing changes

# What MiniStack does not know: alarms over metric math, and saved queries. Provisioned concurrency, whose scaling
# policy it does not know either, is off anyway.
HERE: Final = {"CreateAlarms": "false", "CreateQueries": "false", "Deployment": DEPLOYMENT}

_LOCAL: Final = re.compile(r"^( +(?:CodeUri|ContentUri|DefinitionUri): )(?!s3://)(\S+)$", re.MULTILINE)
_ENDED: Final = re.compile(r"(COMPLETE|FAILED)$")


class StackError(Exception):
    """A stack that did not come to stand, or did not go; the message says which of its resources say why."""


class Aws:
    """Clients of the AWS at ``url``. Any credentials do: there is no account behind them."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, service: str) -> Any:  # noqa: ANN401 - a type for each service would be a dependency for each
        """Return a client of the service, as boto3 calls it."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="demo",
            aws_secret_access_key="demo",  # noqa: S106 - as above
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=60, proxies={}
            ),
        )


@dataclass(frozen=True)
class Stack:
    """What stands: the stack's name, its outputs, and its resources' ids by their names in the template."""

    name: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]


def create(aws: Aws, name: str, parameters: Mapping[str, str], template: Path = TEMPLATE) -> Stack:
    """Create a template's stack under ``name``; StackError where it does not come to stand."""
    formation = aws.client("cloudformation")
    chosen = dict(parameters) if template != TEMPLATE else HERE | dict(parameters)
    formation.create_stack(
        StackName=name,
        TemplateURL=_packaged(aws, template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in chosen.items()],
        Capabilities=CAPABILITIES,
    )
    described = _wait(formation, name)
    if described["StackStatus"] != "CREATE_COMPLETE":
        raise StackError(_why(formation, name))
    found = formation.list_stack_resources(StackName=name)["StackResourceSummaries"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())}
    stack = Stack(name, outputs, {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found})
    _count_concurrency(aws, stack)
    return stack


def delete(aws: Aws, stack: Stack) -> None:
    """Delete a stack, whose buckets are empty; StackError where anything of it stays."""
    formation = aws.client("cloudformation")
    formation.delete_stack(StackName=stack.name)
    identity = next(
        one["StackId"] for one in formation.list_stacks()["StackSummaries"] if one["StackName"] == stack.name
    )
    described = _wait(formation, identity)
    if described["StackStatus"] != "DELETE_COMPLETE":
        raise StackError(_why(formation, identity))


def empty(aws: Aws, bucket: str) -> None:
    """Delete every object of a bucket, in every version."""
    s3 = aws.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])


def code_package() -> bytes:
    """Return the zip that Lambda gets: of the files that the package is built from, without their dependencies."""
    paths = sorted(path for pattern in SOURCES for path in ROOT.glob(pattern))
    return _zipped({str(path.relative_to(ROOT)): path.read_bytes() for path in paths})


def _packaged(aws: Aws, template: Path) -> str:
    """Put the template and what it names beside itself into a bucket, and return the template's URL."""
    s3 = aws.client("s3")
    if ARTIFACTS not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=ARTIFACTS)

    def moved(found: re.Match[str]) -> str:
        name = Path(found[2]).name
        s3.put_object(Bucket=ARTIFACTS, Key=name, Body=_artifact(found[2]))
        return f"{found[1]}s3://{ARTIFACTS}/{name}"

    # MiniStack transforms a template without its parameters, and SAM wants the value of this one
    text = template.read_text().replace(
        "AutoPublishCodeSha256: !Ref Deployment", f"AutoPublishCodeSha256: '{DEPLOYMENT}'"
    )
    s3.put_object(Bucket=ARTIFACTS, Key=template.name, Body=_LOCAL.sub(moved, text).encode())
    return f"{aws.url}/{ARTIFACTS}/{template.name}"


def _artifact(uri: str) -> bytes:
    """Return what the template names: the code as it stands here, and a layer without content.

    MiniStack runs functions by the interpreter that it runs in itself, where the product's requirements are installed.
    """
    if "-code" in uri:
        return code_package()
    if "-layer" in uri:
        return _zipped({"python/README": b"MiniStack's own environment is the layer.\n"})
    return (TEMPLATE.parent / uri).read_bytes()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _count_concurrency(aws: Aws, stack: Stack) -> None:
    """Say the queue's MaximumConcurrency again as a number: MiniStack keeps a parameter's text, and fails on it."""
    functions = aws.client("lambda")
    if mapping := stack.resources.get("SourceMapping"):
        scaling = functions.get_event_source_mapping(UUID=mapping)["ScalingConfig"]
        functions.update_event_source_mapping(
            UUID=mapping, ScalingConfig={"MaximumConcurrency": int(scaling["MaximumConcurrency"])}
        )


def _wait(formation: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the stack's description once nothing is under way."""
    give_up = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < give_up:
        described: dict[str, Any] = formation.describe_stacks(StackName=name)["Stacks"][0]
        if _ENDED.search(described["StackStatus"]) and "CLEANUP" not in described["StackStatus"]:
            return described
        time.sleep(POLL_SECONDS)
    message = f"{name}: nothing settled within {WAIT_SECONDS_MAX:.0f} s"
    raise StackError(message)


def _why(formation: Any, name: str) -> str:  # noqa: ANN401 - as above
    events = formation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("FAILED")]
    return "\n".join(
        [f"{name}:", *(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)]
    )

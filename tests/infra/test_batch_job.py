"""The job for S3 Batch Operations that infra/ brings: the SDK takes it, and the function answers what it asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import botocore.session
import pytest
from botocore.validate import ParamValidator

from demo.stack import ROOT
from lambda_handler import LambdaFunction
from s3_data_processor import S3DataProcessor
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.infra.template import Template

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

JOB: Final = ROOT / "infra" / "batch-job.json"


def job() -> dict[str, Any]:
    written: dict[str, Any] = json.loads(JOB.read_text(encoding="utf-8"))
    return written


def complaints(asked: dict[str, Any]) -> str:
    model = botocore.session.get_session().get_service_model("s3control")
    return str(ParamValidator().validate(asked, model.operation_model("CreateJob").input_shape).generate_report())


def test_the_sdk_takes_the_job() -> None:
    assert complaints(job()) == ""


@pytest.mark.parametrize("name", ["Priority", "RoleArn", "Operation", "Report", "ClientRequestToken"])
def test_and_would_not_take_one_without(name: str) -> None:
    assert name in complaints({key: value for key, value in job().items() if key != name})


def test_its_names_are_those_that_the_model_lists() -> None:
    found: list[tuple[str, str]] = []

    def look(value: Any, shape: Any) -> None:
        if shape.type_name == "structure":
            for name, inner in value.items():
                look(inner, shape.members[name])
        elif shape.type_name == "list":
            for inner in value:
                look(inner, shape.member)
        elif getattr(shape, "enum", None) and value not in shape.enum:
            found.append((shape.name, value))

    model = botocore.session.get_session().get_service_model("s3control")
    look(job(), model.operation_model("CreateJob").input_shape)
    assert found == []


def test_manifest_and_report_lie_beside_the_outputs_where_no_table_looks() -> None:
    outputs = Template().parameters["OutputPrefix"]
    written = job()
    generated = written["ManifestGenerator"]["S3JobManifestGenerator"]["ManifestOutputLocation"]["ManifestPrefix"]
    assert generated == written["Report"]["Prefix"] == f"{outputs}_batch-jobs"


def test_the_function_answers_each_task(s3: S3Client) -> None:
    bodies = {"good.csv": b"id,text\n1,one\n", "bad one+.csv": b"id,text\n1,one,more\n"}
    for name, body in bodies.items():
        s3.put_object(Bucket=INPUT_BUCKET, Key=f"in/{name}", Body=body)
    environ = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET, "PREFIX": "in/"}
    function = LambdaFunction(environ, S3DataProcessor.from_settings, lambda _: b"")
    keys = ["in/good.csv", "in/bad+one%2B.csv", "in/notes.md"]
    tasks = [{"taskId": str(number), "s3Key": key, "s3Bucket": INPUT_BUCKET} for number, key in enumerate(keys)]
    version = job()["Operation"]["LambdaInvoke"]["InvocationSchemaVersion"]
    event = {"invocationSchemaVersion": version, "invocationId": "i", "job": {"id": "j"}, "tasks": tasks}
    answer = function(event, None)
    codes = [(one["taskId"], one["resultCode"]) for one in answer["results"]]
    assert codes == [("0", "Succeeded"), ("1", "PermanentFailure"), ("2", "Succeeded")]
    assert answer["invocationSchemaVersion"] == version

"""The product as a Lambda function: its own code and handler, its own settings, an S3 notification in front."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

ROOT: Final = Path(__file__).parent.parent
INPUT_BUCKET: Final = "demo-sources"
OUTPUT_BUCKET: Final = "demo-outputs"
PREFIX: Final = "inbox/"
OUTPUT_PREFIX: Final = "processed/"
FUNCTION: Final = "csv-transcode"
HANDLER: Final = "lambda_handler.lambda_handler"
MEMORY_MB: Final = 2048
TIMEOUT_SECONDS: Final = 300
REGION: Final = "us-east-1"
SETTINGS: Final = {
    "INPUT_BUCKET": INPUT_BUCKET,
    "OUTPUT_BUCKET": OUTPUT_BUCKET,
    "PREFIX": PREFIX,
    "OUTPUT_PREFIX": OUTPUT_PREFIX,
}


def s3_client(url: str) -> S3Client:
    """Return a client of the S3 at ``url``."""
    client: S3Client = boto3.client("s3", config=_CONFIG, **_access(url))
    return client


def lambda_client(url: str) -> LambdaClient:
    """Return a client of the Lambda at ``url``."""
    client: LambdaClient = boto3.client("lambda", config=_CONFIG, **_access(url))
    return client


def deploy(s3: S3Client, functions: LambdaClient) -> int:
    """Create buckets, function and notification; return the size of the code package in bytes."""
    for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
        s3.create_bucket(Bucket=bucket)
    code = code_package()
    function = functions.create_function(
        FunctionName=FUNCTION,
        Runtime="python3.13"
        if sys.version_info >= (3, 13)
        else "python3.12"
        if sys.version_info >= (3, 12)
        else "python3.11",
        Handler=HANDLER,
        Role="arn:aws:iam::000000000000:role/csv-transcode",
        Code={"ZipFile": code},
        Environment={"Variables": SETTINGS},
        MemorySize=MEMORY_MB,
        Timeout=TIMEOUT_SECONDS,
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=FUNCTION, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    _notify(s3, functions, function["FunctionArn"])
    return len(code)


def code_package() -> bytes:
    """Return the zip that Lambda gets: the package and its two doors, without their dependencies."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (
            *sorted(ROOT.glob("csv_transcode/**/*.py")),
            ROOT / "s3_data_processor.py",
            ROOT / "lambda_handler.py",
        ):
            archive.write(path, path.relative_to(ROOT))
    return buffer.getvalue()


def _notify(s3: S3Client, functions: LambdaClient, function_arn: str) -> None:
    functions.add_permission(
        FunctionName=FUNCTION,
        StatementId="sources",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{INPUT_BUCKET}",
    )
    s3.put_bucket_notification_configuration(
        Bucket=INPUT_BUCKET,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {
                    "LambdaFunctionArn": function_arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": PREFIX}]}},
                }
            ]
        },
    )


_CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=60, proxies={}
)


def _access(url: str) -> dict[str, str]:
    # Any credentials do: there is no account behind them.
    return {
        "endpoint_url": url,
        "region_name": REGION,
        "aws_access_key_id": "demo",
        "aws_secret_access_key": "demo",
    }

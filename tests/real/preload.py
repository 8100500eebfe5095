"""What a process that conversions are forked from has imported and read: what does not differ from run to run.

A client is made of files of the SDK, which take longer to read than a small conversion takes: they are read here, once.
"""

import os
from unittest import mock

import botocore.loaders
import botocore.session
import pytest  # noqa: F401 -- multiprocessing imports the main module again, and pytest may be that

import csv_transcode.formats.memory  # noqa: F401
import s3_data_processor  # noqa: F401
import tests.real.function  # noqa: F401
from csv_transcode.s3.client import make_client

_READ = botocore.loaders.create_loader()
botocore.session.create_loader = lambda *_: _READ
with mock.patch.dict(os.environ, {"AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": "/dev/null"}):
    make_client(connections_max=1)

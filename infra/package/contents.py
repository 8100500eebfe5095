"""Which of the requirements go into a package, and which files of theirs do not."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# awswrangler declares setuptools from Python 3.12 on, and nothing imports it.
NOT_IMPORTED: Final = frozenset({"setuptools"})
# What SLIM=1 leaves out: the notebook's, the other way of fetching, and what only those need.
SLIM_LEAVES_OUT: Final = frozenset({"awswrangler", "packaging", "pandas"})

# Services of AWS whose descriptions botocore keeps: what the program and the operator's commands call, and what finds
# credentials. tests/infra/test_package.py compares them with the clients that the program makes.
SERVICES: Final = frozenset(
    {"cloudformation", "cloudwatch", "lambda", "s3", "signin", "sqs", "sso", "sso-oidc", "stepfunctions", "sts"}
)
_SERVICES_OF: Final = re.compile(r"(?:botocore|boto3)/data/([^/]+)/")

# Over paths within the folder, with `/`; `*` stands for any text, slashes included.
_LEFT_OUT: Final = (
    # what compilers read
    *("*.a", "*.c", "*.cpp", "*.h", "*.hpp", "*.lib", "*.pxd", "*.pxi", "*.pyi", "*.pyx"),
    *("pyarrow/include/*", "pyarrow/includes/*", "pyarrow/src/*", "numpy/f2py/*"),
    # tests, and what only tests use
    *("*/tests/*", "numpy/_core/_simd.*", "pyarrow/_pyarrow_cpp_tests.*"),
    # Arrow Flight, and further names of the libraries that stand under the name that they are loaded by
    *("pyarrow/*flight*", "pyarrow/libarrow*.so", "pyarrow/libarrow*.so.*.*.*"),
    # Powertools beside logger and metrics, which import `utilities.jmespath_utils`: routers for APIs, models of events
    *("aws_lambda_powertools/event_handler/*", "aws_lambda_powertools/utilities/[!j_]*/*"),
    # what works with packages only that are not here, and other clouds' file systems
    *("pandas/plotting/_matplotlib/*", "pyarrow/_azurefs.*", "pyarrow/_gcsfs.*", "pyarrow/_hdfs.*"),
    # NumPy imports it when it is asked for, and pandas does not ask
    "numpy/polynomial/*",
    # what pip notes about this installation, programs, and examples
    *("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED", "*.dist-info/direct_url.json"),
    *("bin/*", "botocore/data/*/examples-1.json", "boto3/examples/*", "*/__pycache__/*"),
)

# Of NumPy what only people at a prompt use: it is imported when it is asked for, and nothing here asks.
_LEFT_OUT_SLIM: Final = ("numpy/random/*", "numpy/ma/*", "numpy/fft/*", "numpy/testing/*")


def pins(requirements: Path) -> dict[str, str]:
    """Return name → version of every line ``name==version``, names as package indexes spell them."""
    lines = [line.partition("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonical(name): version for name, version in pairs}


def canonical(name: str) -> str:
    """Return a distribution's name as package indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def left_out(*, slim: bool) -> frozenset[str]:
    """Return the requirements that do not go into the package."""
    return NOT_IMPORTED | SLIM_LEAVES_OUT if slim else NOT_IMPORTED


def is_left_out(path: str, *, slim: bool) -> bool:
    """Whether the file at ``path``, from the folder of the dependencies, is not needed to convert."""
    service = _SERVICES_OF.match(path)
    if service and service[1] not in SERVICES:
        return True
    patterns = _LEFT_OUT + _LEFT_OUT_SLIM if slim else _LEFT_OUT
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def slim_down(folder: Path, *, slim: bool) -> None:
    """Delete what is not needed of the dependencies in ``folder``, and the folders that are empty then."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is within comes before the folder itself
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif is_left_out(path.relative_to(folder).as_posix(), slim=slim):
            path.unlink()

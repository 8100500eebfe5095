"""``python -m infra.deploy``: ``sam deploy``, told what is new, so that every change reaches the alias.

Senders name the alias ``live``, which moves only to a version that is published, and SAM publishes none for a changed
parameter or layer. So template, zips and parameters are summed up in the parameter ``Deployment``, from which the
version follows. The template takes no other value, so that ``sam deploy`` by itself is refused, and not without effect.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

INFRA: Final = Path(__file__).parent
TEMPLATE: Final = INFRA / "template.yaml"
CONFIGURATION: Final = INFRA / "samconfig.toml"
DIGITS: Final = 16
OK, FAILED = 0, 1

# What SAM reads whole; of anything else it takes the beginning, and says nothing.
_WHOLE: Final = re.compile(r'\w+=(?:[^\s"\']*|"(?:[^"\\]|\\.)*")')
_NAMED: Final = re.compile(r"^ +(?:Code|Content|Definition)Uri: (\S+)$", re.MULTILINE)


class DeployError(Exception):
    """Something that a deployment needs is not there; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``sam deploy``; return its exit code, or 1 with what is missing on standard error."""
    parser = argparse.ArgumentParser("python -m infra.deploy", description=__doc__)
    parser.add_argument("--env", default="default", help="the part of the configuration to take (default)")
    parser.add_argument("--config", type=Path, default=CONFIGURATION, help="default: infra/samconfig.toml")
    parser.add_argument("--show", action="store_true", help="print the command, and do not run it")
    options = parser.parse_args(arguments)
    try:
        command = command_of(options.config, options.env)
        print(shlex.join(command), flush=True)
        return OK if options.show else subprocess.call([_sam(), *command[1:]])
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def command_of(configuration: Path, environment: str, template: Path = TEMPLATE) -> list[str]:
    """Return the command that deploys what stands here; DeployError where something of it does not."""
    # What the command line says replaces the configuration's whole list, so it says all of it.
    given = [one for one in parameters(configuration, environment) if not one.startswith("Deployment=")]
    deployment = f"Deployment={digest(template, given)}"
    where = ["--template", str(template), "--config-file", str(configuration.resolve()), "--config-env", environment]
    return ["sam", "deploy", *where, "--parameter-overrides", *given, deployment]


def parameters(configuration: Path, environment: str) -> list[str]:
    """Return the parameters that a configuration of SAM's names, each as ``Name=value``."""
    if not configuration.exists():
        message = f"{configuration} is missing: copy infra/samconfig.example.toml there, and put your names in"
        raise DeployError(message)
    told = tomllib.loads(configuration.read_text(encoding="utf-8"))
    found = told.get(environment, {}).get("deploy", {}).get("parameters", {}).get("parameter_overrides")
    if not isinstance(found, list):
        message = f"{configuration}: no list [{environment}.deploy.parameters] parameter_overrides"
        raise DeployError(message)
    for one in map(str, found):
        if not _WHOLE.fullmatch(one):
            message = f'{one}: SAM would cut it off. Put the value into quotes, and \\" for those in it: Name="..."'
            raise DeployError(message)
    return [str(one) for one in found]


def digest(template: Path, given: Sequence[str]) -> str:
    """Return what names a deployment: of the template, of every file that it names, and of the parameters."""
    text = template.read_text(encoding="utf-8")
    summed = hashlib.sha256(repr([*given]).encode())
    for path in (template, *(template.parent / name for name in _NAMED.findall(text))):
        if not path.exists():
            message = f"{path.name} is missing: make package"
            raise DeployError(message)
        with path.open("rb") as content:
            summed.update(hashlib.file_digest(content, "sha256").digest())
    return summed.hexdigest()[:DIGITS]


def _sam() -> str:
    if found := shutil.which("sam"):
        return found
    message = "the AWS SAM command line is not installed: see infra_setup.md"
    raise DeployError(message)


if __name__ == "__main__":
    sys.exit(main())

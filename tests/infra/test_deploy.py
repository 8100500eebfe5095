"""``make deploy``: no change of zips, template or parameters may leave the alias where it is."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from demo import server
from infra import deploy
from tests.conftest import not_installed
from tests.infra.template import ROOT, TEMPLATE, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXAMPLE: Final = ROOT / "infra" / "samconfig.example.toml"
ENVIRONMENTS: Final = ("default", "production")
ZIPS: Final = ("csv-transcode-code.zip", "csv-transcode-layer-arm64.zip", "csv-transcode-layer-x86_64.zip")

# SAM's own translation, by which CloudFormation expands the template, in the environment that has it.
TRANSLATE: Final = """
import json, os, sys
os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
text, parameters = json.load(sys.stdin)
print(json.dumps(Translator({}, Parser()).translate(yaml_parse(text), parameters)["Resources"]))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with the template, the configuration, and zips where the template looks for them."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "dist").mkdir()
    for path in (TEMPLATE, TEMPLATE.parent / "statemachine.asl.json"):
        (tmp_path / "infra" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "infra" / "samconfig.toml").write_bytes(EXAMPLE.read_bytes())
    for name in ZIPS:
        (tmp_path / "dist" / name).write_bytes(name.encode())
    return tmp_path


def chosen(place: Path, environment: str = "default") -> list[str]:
    """Return the parameters that a deployment from ``place`` has."""
    infra = place / "infra"
    command = deploy.command_of(infra / "samconfig.toml", environment, infra / "template.yaml")
    return command[command.index("--parameter-overrides") + 1 :]


def deployment(place: Path) -> str:
    (found,) = [one.removeprefix("Deployment=") for one in chosen(place) if one.startswith("Deployment=")]
    return found


def appended(name: str) -> Callable[[Path], object]:
    return lambda place: (place / name).write_bytes((place / name).read_bytes() + b" \n")


def with_parameter(text: str) -> Callable[[Path], object]:
    """Return what adds a parameter to the configuration's first list."""

    def change(place: Path) -> None:
        path = place / "infra" / "samconfig.toml"
        written = path.read_text(encoding="utf-8")
        path.write_text(written.replace("parameter_overrides = [", f"parameter_overrides = [\n    '{text}',", 1))

    return change


CHANGES: Final = {
    **{name: appended(f"dist/{name}") for name in ZIPS},
    **{name: appended(f"infra/{name}") for name in ("template.yaml", "statemachine.asl.json")},
    **{
        name: with_parameter(name)
        for name in ("MemorySize=4096", r'ColumnTypes="{\"zip\": \"string\"}"', "TracingLayerArn=arn")
    },
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_all_that_is_configured_is_said_and_deployment_once(environment: str, place: Path) -> None:
    configured = deploy.parameters(EXAMPLE, environment)
    *others, last = chosen(place, environment)
    assert others == [one for one in configured if not one.startswith("Deployment=")]
    assert re.fullmatch(read(TEMPLATE)["Parameters"]["Deployment"]["AllowedPattern"], last.removeprefix("Deployment="))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_sam_deploy_by_itself_is_refused(environment: str) -> None:
    spec = read(TEMPLATE)["Parameters"]["Deployment"]
    (written,) = [one for one in deploy.parameters(EXAMPLE, environment) if one.startswith("Deployment=")]
    assert not re.fullmatch(spec["AllowedPattern"], written.removeprefix("Deployment="))
    assert "Default" not in spec
    assert "make deploy" in spec["ConstraintDescription"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_another_deployment(change: Callable[[Path], object], place: Path) -> None:
    before = deployment(place)
    assert deployment(place) == before
    change(place)
    assert deployment(place) != before


def test_sam_is_run_with_it(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    sam = place / "sam"
    sam.write_text('#!/bin/sh\nfor one in "$@"; do echo "<$one>"; done\nexit 3\n')
    sam.chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=":")
    template = place / "infra" / "template.yaml"
    monkeypatch.setattr(deploy.command_of, "__defaults__", (template,))
    configuration = place / "infra" / "samconfig.toml"
    assert deploy.main(["--config", str(configuration), "--env", "production"]) == 3
    wanted = deploy.command_of(configuration, "production", template)
    assert capfd.readouterr().out.splitlines()[1:] == [f"<{one}>" for one in wanted[1:]]


@pytest.mark.parametrize(
    ("missing", "told"), [("infra/samconfig.toml", "samconfig.example.toml"), (f"dist/{ZIPS[1]}", "make package")]
)
def test_what_is_missing_is_said(missing: str, told: str, place: Path) -> None:
    (place / missing).unlink()
    with pytest.raises(deploy.DeployError, match=re.escape(told)):
        chosen(place)


@pytest.mark.parametrize("cut", ['ColumnTypes={"zip":"string"}', "SweepSchedule=cron(0 3 * * ? *)", 'Project="a" b'])
def test_what_sam_would_cut_off_is_refused(cut: str, place: Path) -> None:
    with_parameter(cut)(place)
    with pytest.raises(deploy.DeployError, match=re.escape(cut)):
        chosen(place)


# ------------------------------------------------------------------ what SAM makes of it


def translated(place: Path) -> dict[str, Any]:
    """Return the resources that CloudFormation gets, with the parameters of a deployment from ``place``."""
    if not server.PYTHON.exists():
        not_installed("SAM's translator is not installed: `make .venv-emulators/stamp` does that")
    text = (place / "infra" / "template.yaml").read_text(encoding="utf-8")
    text = re.sub(r"((?:Code|Content|Definition)Uri: )(\S+)", r"\1s3://packages/\2", text).replace("/../", "/")
    declared = {name: str(spec["Default"]) for name, spec in read(TEMPLATE)["Parameters"].items() if "Default" in spec}
    pairs = dict(one.split("=", 1) for one in chosen(place))
    ran = subprocess.run(
        [server.PYTHON, "-c", TRANSLATE],
        input=json.dumps([text, declared | pairs]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def version(resources: dict[str, Any]) -> str:
    """Return the name of the version that the alias goes to."""
    (name,) = [name for name, one in resources.items() if one["Type"] == "AWS::Lambda::Version"]
    (alias,) = [one for one in resources.values() if one["Type"] == "AWS::Lambda::Alias"]
    assert alias["Properties"]["FunctionVersion"] == {"Fn::GetAtt": [name, "Version"]}
    assert resources[name]["DeletionPolicy"] == "Retain"
    return name


@pytest.mark.integration
def test_the_alias_goes_to_a_new_version_whenever_something_changes(place: Path) -> None:
    names = [version(translated(place))]
    for change in (with_parameter("MemorySize=4096"), appended(f"dist/{ZIPS[1]}")):
        assert version(translated(place)) == names[-1]
        change(place)
        names.append(version(translated(place)))
    assert len({*names}) == 3


@pytest.mark.integration
def test_the_function_changes_with_every_deployment(place: Path) -> None:
    """Lambda publishes no version of a function that stands as it was: CloudFormation would fail there."""
    with_parameter("BackfillConcurrency=21")(place)  # which is no property of the function
    described = translated(place)["Converter"]["Properties"]["Description"]
    assert deployment(place) in described

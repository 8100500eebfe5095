"""A CloudFormation template as it comes out with given parameters: conditions decided, references followed.

What only AWS knows, a resource's id or attribute, stays as a name in angle brackets: ``<DeadLetterQueue.Arn>``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml  # type: ignore[import-untyped]  # no types of its own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parent.parent.parent
TEMPLATE: Final = ROOT / "infra" / "template.yaml"
FARGATE: Final = ROOT / "infra" / "fargate.yaml"
ACCOUNT: Final = "123456789012"
REGION: Final = "eu-central-1"
STACK: Final = "csv-transcode"
PSEUDO: Final = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": STACK,
}
_NO_VALUE: Final = object()
_REFERENCE: Final = re.compile(r"\$\{([^!{}][^{}]*)\}")


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]  # as above
    """YAML with CloudFormation's tags, which come out as its long forms."""


def _tagged(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tagged)


@cache
def read(path: Path) -> dict[str, Any]:
    """Return a template as it is written; nobody may change it."""
    with path.open(encoding="utf-8") as lines:
        written: dict[str, Any] = yaml.load(lines, _Loader)  # noqa: S506 -- a SafeLoader, with tags
    return written


class Template:
    """One template under given parameters; the others have their defaults."""

    def __init__(self, path: Path = TEMPLATE, /, **parameters: str) -> None:
        self.written = read(path)
        declared = self.written["Parameters"]
        if unknown := parameters.keys() - declared.keys():
            message = f"{path.name} has no parameters {sorted(unknown)}"
            raise ValueError(message)
        defaults = {name: spec["Default"] for name, spec in declared.items() if "Default" in spec}
        self.parameters = defaults | parameters

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Every resource whose condition holds, by its name."""
        written = self.written["Resources"].items()
        return {name: self.resolved(spec) for name, spec in written if self._stands(spec)}

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of every resource of a type, by its name."""
        return {name: spec.get("Properties", {}) for name, spec in self.resources.items() if spec["Type"] == kind}

    def properties(self, name: str) -> dict[str, Any]:
        """Return one resource's properties."""
        found: dict[str, Any] = self.resources[name]["Properties"]
        return found

    def holds(self, condition: str) -> bool:
        """Return whether a condition of the template holds."""
        return bool(self.resolved(self.written["Conditions"][condition]))

    def resolved(self, value: Any) -> Any:
        """Return a value with every function of CloudFormation's applied."""
        if isinstance(value, list):
            return [item for item in map(self.resolved, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (apply := self._functions.get(next(iter(value)))):
            return apply(next(iter(value.values())))
        items = {name: self.resolved(item) for name, item in value.items()}
        return {name: item for name, item in items.items() if item is not _NO_VALUE}

    def _stands(self, spec: Mapping[str, Any]) -> bool:
        return "Condition" not in spec or self.holds(spec["Condition"])

    @property
    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "Ref": self._reference,
            "Condition": self.holds,
            "Fn::GetAtt": lambda value: f"<{value[0]}.{value[1]}>",
            "Fn::Sub": self._substituted,
            "Fn::If": lambda value: self.resolved(value[1] if self.holds(value[0]) else value[2]),
            "Fn::Equals": lambda value: str(self.resolved(value[0])) == str(self.resolved(value[1])),
            "Fn::Not": lambda value: not self.resolved(value[0]),
            "Fn::And": lambda value: all(map(self.resolved, value)),
            "Fn::Select": lambda value: self.resolved(value[1])[int(value[0])],
            "Fn::Join": lambda value: value[0].join(map(str, self.resolved(value[1]))),
            "Fn::FindInMap": self._mapped,
        }

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        return self.parameters.get(name, PSEUDO.get(name, f"<{name}>"))

    def _substituted(self, value: Any) -> str:
        text, names = (value, {}) if isinstance(value, str) else value
        known = {name: self.resolved(item) for name, item in names.items()}
        return _REFERENCE.sub(lambda found: str(known.get(found[1], self._reference(found[1]))), text)

    def _mapped(self, value: list[Any]) -> Any:
        name, first, second = map(self.resolved, value)
        return self.written["Mappings"][name][str(first)][second]


def walk(value: Any) -> Iterator[Any]:
    """Yield a value and everything within it."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from walk(item)

"""`template.yaml` as CloudFormation gets it: what refers to Memory, once for each memory size."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Json", "body", "render"]

Json = dict[str, Any]

_MEMORY = "Memory"
_NAMES = re.compile(r"\$\{(\w+)(\.\w+)?\}")  # in Fn::Sub; ${AWS::Region} has colons and is left alone


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML with the short forms of CloudFormation's functions."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def render(memory_mb: Iterable[int]) -> Json:
    """The template for these memory sizes, at least one."""
    sizes = sorted(set(memory_mb))
    assert sizes
    template = copy.deepcopy(_source())
    resources: Json = template["Resources"]
    each = _repeated(resources)
    made: Json = {}
    for name, resource in resources.items():
        if name in each:
            made |= {f"{name}{size}": _walk(resource, _of_size(each, size)) for size in sizes}
        else:
            made[name] = resource
    template["Resources"] = made
    template["Outputs"][_MEMORY]["Value"] = ",".join(str(size) for size in sizes)
    del template["Parameters"][_MEMORY]
    return template


@functools.cache
def _source() -> Json:
    text = Path(__file__).with_name("template.yaml").read_text(encoding="utf-8")
    loaded: Json = yaml.load(text, _Loader)
    return loaded


def body(template: Json) -> str:
    """The template as the text to send, which is counted against a limit of 51,200 bytes."""
    return json.dumps(template, separators=(",", ":"))


def _repeated(resources: Mapping[str, Any]) -> set[str]:
    """The resources that refer to Memory, and those that refer to them."""
    found: set[str] = {_MEMORY}
    while True:
        more = {name for name, resource in resources.items() if found & _references(resource)} - found
        if not more:
            return found - {_MEMORY}
        found |= more


def _references(resource: Any) -> set[str]:
    names: set[str] = set()

    def note(name: str) -> str:
        names.add(name)
        return name

    _walk(resource, note)
    return names


def _of_size(each: set[str], size: int) -> Callable[[str], str | int]:
    def rename(name: str) -> str | int:
        if name == _MEMORY:
            return size
        return f"{name}{size}" if name in each else name

    return rename


def _walk(value: Any, rename: Callable[[str], str | int]) -> Any:
    """A copy with each name that is referred to renamed; a name that becomes a number takes the reference's place."""
    if isinstance(value, list):
        return [_walk(item, rename) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        name = rename(value["Ref"])
        return {"Ref": name} if isinstance(name, str) else name
    if set(value) == {"Fn::GetAtt"}:
        return {"Fn::GetAtt": [rename(value["Fn::GetAtt"][0]), *value["Fn::GetAtt"][1:]]}
    if set(value) == {"Fn::Sub"}:

        def replaced(found: re.Match[str]) -> str:
            name = rename(found[1])
            return f"${{{name}{found[2] or ''}}}" if isinstance(name, str) else str(name)

        text = _NAMES.sub(replaced, value["Fn::Sub"])
        return {"Fn::Sub": text} if "${" in text else text
    return {key: _walk(item, rename) for key, item in value.items()}

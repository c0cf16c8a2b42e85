"""Checks a table against a JSON schema, as far as the schemas beside this file go."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
KNOWN = {
    *("$schema", "title", "description", "$ref", "$defs", "type", "enum", "pattern", "items"),
    *("properties", "patternProperties", "additionalProperties", "required"),
}


def faults(
    value: Any, rule: Mapping[str, Any], whole: Mapping[str, Any], at: str = ""
) -> list[str]:
    """What is wrong with ``value``, by ``rule`` of the schema ``whole``; ``at`` says where."""
    return list(_faults(value, rule, whole, at))


def _faults(
    value: Any, rule: Mapping[str, Any], whole: Mapping[str, Any], at: str
) -> Iterator[str]:
    assert rule.keys() <= KNOWN, rule.keys() - KNOWN
    if "$ref" in rule:
        rule = whole["$defs"][rule["$ref"].removeprefix("#/$defs/")]
    names = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    if names and not any(_is(value, name) for name in names):
        yield f"{at}: {value!r} is no {' or '.join(names)}"
        return
    if "enum" in rule and value not in rule["enum"]:
        yield f"{at}: {value!r} is none of {rule['enum']}"
    if "pattern" in rule and isinstance(value, str) and not re.search(rule["pattern"], value):
        yield f"{at}: {value!r} does not match {rule['pattern']}"
    if isinstance(value, list) and "items" in rule:
        for number, one in enumerate(value):
            yield from _faults(one, rule["items"], whole, f"{at}[{number}]")
    if isinstance(value, dict):
        yield from (
            f"{at}: {key} is missing" for key in rule.get("required", ()) if key not in value
        )
        for key, one in value.items():
            yield from _field(key, one, rule, whole, f"{at}.{key}")


def _field(
    key: str, value: Any, rule: Mapping[str, Any], whole: Mapping[str, Any], at: str
) -> Iterator[str]:
    patterns = rule.get("patternProperties", {})
    rules = [one for pattern, one in patterns.items() if re.search(pattern, key)]
    rules += [rule["properties"][key]] if key in rule.get("properties", {}) else []
    other = rule.get("additionalProperties", True)
    if not rules and other is False:
        yield f"{at}: unknown"
    elif not rules and isinstance(other, dict):
        rules.append(other)
    for one in rules:
        yield from _faults(value, one, whole, at)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])

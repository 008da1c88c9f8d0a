"""The part of JSON Schema that docs/openapi.yaml uses, checked against a value.

It checks what the description says and refuses a keyword that it doesn't know, so that no line of the
description is there for show.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OPENAPI = yaml.load((Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text(), FAST)

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
KNOWN = {
    "$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "minimum", "maximum",
    "description", "default",
}  # fmt: skip


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    if (ref := schema.get("$ref")) is None:
        return schema
    found: Any = OPENAPI
    for part in ref.removeprefix("#/").split("/"):
        found = found[part]
    return resolve(found)


def faults(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """What is wrong with the value, each with where it stands."""
    schema = resolve(schema)
    assert schema.keys() <= KNOWN, f"{at}: keywords that are not checked: {schema.keys() - KNOWN}"
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(_is(value, each) for each in wanted):
        return [f"{at}: {value!r} is no {' or '.join(wanted)}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    if isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get(
        "maximum", value
    ):
        found.append(f"{at}: {value!r} is out of range")
    if isinstance(value, list):
        for n, item in enumerate(value):
            found += faults(item, schema.get("items", {}), f"{at}[{n}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{at}: {key} is missing" for key in schema.get("required", []) if key not in value]
        more = schema.get("additionalProperties", True)
        for key, item in value.items():
            if key in properties:
                found += faults(item, properties[key], f"{at}.{key}")
            elif more is False:
                found.append(f"{at}: {key} is not described")
            elif isinstance(more, dict):
                found += faults(item, more, f"{at}.{key}")
    return found


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])

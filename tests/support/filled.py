"""Values of a type with one text in every place that holds text, made from the type alone.

Rules: whatever field a type gets, it is filled from then on. Numbers are small, moments just past; of words
that are chosen from few the first is taken.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from support.schema import resolve

DEPTH = 6
"""A type that holds its like is left as it is by itself from so far down on."""


def fill(kind: Any, text: str, now: float, given: Mapping[str, Any], depth: int = 0) -> Any:
    """A value of this type. `given`: the fields that are not made, by `Type.field`."""
    origin, parts = get_origin(kind), get_args(kind)

    def one(part: Any) -> Any:
        return fill(part, text, now, given, depth)

    if kind in (str, Any, object):
        return text
    plain = {
        bool: True,
        int: 3,
        float: now - 60,
        NoneType: None,
        bytes: text.encode(),
        Fraction: Fraction(1, 2),
    }
    if isinstance(kind, type) and kind in plain:
        return plain[kind]
    if origin is Literal:
        return parts[0]
    if origin in (Union, UnionType):
        return one(next(part for part in parts if part is not NoneType))
    if origin is tuple:
        return (one(parts[0]),) if parts[1:] == (...,) else tuple(map(one, parts))
    if origin in (dict, Mapping):
        return {one(parts[0]): one(parts[1])}
    if origin in (list, Sequence, Iterable):
        return [one(parts[0])]
    if origin in (set, frozenset):
        return frozenset({one(parts[0])})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    return _fill_fields(kind, text, now, given, depth + 1)


def _fill_fields(kind: Any, text: str, now: float, given: Mapping[str, Any], depth: int) -> Any:
    hints = get_type_hints(kind)
    if dataclasses.is_dataclass(kind):
        fields = {f.name: _is_free(f) for f in dataclasses.fields(kind)}
    elif issubclass(kind, tuple):  # a NamedTuple
        names: Sequence[str] = kind._fields  # type: ignore[attr-defined]
        fields = {name: name in kind._field_defaults for name in names}  # type: ignore[attr-defined]
    else:
        of_struct: Sequence[str] = kind.__struct_fields__  # msgspec's
        given_all = len(of_struct) - len(kind.__struct_defaults__)
        fields = {name: at >= given_all for at, name in enumerate(of_struct)}
    values = {}
    for name, is_free in fields.items():
        key = f"{kind.__name__}.{name}"
        if key in given:
            values[name] = given[key]
        elif depth <= DEPTH or not is_free:
            values[name] = fill(hints[name], text, now, given, depth)
    return kind(**values)


def _is_free(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def describe(schema: dict[str, Any], text: str) -> Any:
    """A value as docs/openapi.yaml describes it, filled in the same way."""
    schema = resolve(schema)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "object":
        more = schema.get("additionalProperties")
        own = {name: describe(part, text) for name, part in schema.get("properties", {}).items()}
        return own | ({text: describe(more, text)} if isinstance(more, dict) else {})
    if kind == "array":
        return [describe(schema["items"], text)]
    return {"string": text, "integer": 3, "number": 0.5, "boolean": True}[kind]

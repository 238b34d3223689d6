"""Is a JSON value what a schema asks for? The part of JSON Schema that says what an answer of a model must look like.

Source: JSON Schema, draft 2020-12 (json-schema.org/draft/2020-12), the vocabularies for validation and applicators, of
which :data:`KEYWORDS` are known here; any other is an error, so that no rule is silently left out.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from weaklm.errors import FunctionError, nearest

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: _TYPES["number"](value) and (isinstance(value, int) or value.is_integer()),
}
_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    type(None): "null",
    float: "number",
    int: "integer",
}

# Keyword -> the type of value that it speaks of (none: any), and whether a value is as the keyword's argument asks.
_CHECKS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "type": (
        "",
        lambda value, names: any(_TYPES[name](value) for name in ([names] if isinstance(names, str) else names)),
    ),
    "enum": ("", lambda value, options: any(_is_same(value, option) for option in options)),
    "const": ("", lambda value, constant: any(_is_same(value, option) for option in (constant,))),
    "required": ("object", lambda value, names: all(name in value for name in names)),
    "properties": ("object", lambda value, inner: all(conforms(value[k], s) for k, s in inner.items() if k in value)),
    "minProperties": ("object", lambda value, least: len(value) >= least),
    "maxProperties": ("object", lambda value, most: len(value) <= most),
    "items": ("array", lambda value, inner: all(conforms(item, inner) for item in value)),
    "minItems": ("array", lambda value, least: len(value) >= least),
    "maxItems": ("array", lambda value, most: len(value) <= most),
    "minLength": ("string", lambda value, least: len(value) >= least),
    "maxLength": ("string", lambda value, most: len(value) <= most),
    "pattern": ("string", lambda value, pattern: re.search(pattern, value) is not None),
    "minimum": ("number", lambda value, least: value >= least),
    "maximum": ("number", lambda value, most: value <= most),
}


def _is_number(argument: Any) -> bool:
    return _TYPES["number"](argument) and (isinstance(argument, int) or math.isfinite(argument))


def _are_texts(argument: Any) -> bool:
    return isinstance(argument, list | tuple) and all(isinstance(text, str) for text in argument)


def _is_pattern(argument: Any) -> bool:
    try:
        return isinstance(argument, str) and re.compile(argument) is not None
    except (re.error, OverflowError, RecursionError):
        return False


# What the argument of a keyword must be, in words, and whether it is.
_ARGUMENTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("minimum", "maximum"), ("a number", _is_number)),
    **dict.fromkeys(
        ("minProperties", "maxProperties", "minItems", "maxItems", "minLength", "maxLength"),
        ("a whole number from 0 on", lambda given: _TYPES["integer"](given) and given >= 0),
    ),
    "pattern": ("a regular expression", _is_pattern),
    "enum": ("a list", lambda given: isinstance(given, list | tuple)),
    "required": ("a list of texts", _are_texts),
    "type": ("a type or a list of types", lambda given: isinstance(given, str) or _are_texts(given)),
    "properties": ("a mapping", lambda given: isinstance(given, Mapping)),
}
_NOTES = ("$schema", "$id", "title", "description", "default", "examples")
KEYWORDS = (*_CHECKS, "additionalProperties")


def schema_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked JSON schema; keys with Python types stand for an object that must have them.

    >>> schema_of({"fee": float, "currency": str})["required"]
    ['fee', 'currency']
    >>> schema_of({"type": "object", "require": ["fee"]})
    Traceback (most recent call last):
        ...
    weaklm.errors.FunctionError: the schema has 'require', which is not known here; did you mean 'required'?
    """
    if form and all(isinstance(value, type) or _is_form(value) for value in form.values()):
        if not all(isinstance(key, str) for key in form):
            raise FunctionError(f"the schema has the keys {list(form)!r}; the keys of JSON are texts")
        inner = {key: _typed(value) if isinstance(value, type) else schema_of(value) for key, value in form.items()}
        return {"type": "object", "required": list(form), "properties": inner}
    _check(form)
    try:
        return json.loads(json.dumps(form, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise FunctionError(f"the schema holds something that is no JSON: {error}") from error


def conforms(value: Any, schema: Any) -> bool:
    """Tell whether a JSON value is what a checked schema asks for.

    >>> conforms({"fee": 5}, schema_of({"fee": float})), conforms({"fee": "5"}, schema_of({"fee": float}))
    (True, False)
    """
    if isinstance(schema, bool):
        return schema
    for keyword, argument in schema.items():
        kind, is_met = _CHECKS.get(keyword, ("", None))
        if is_met is not None and (not kind or _TYPES[kind](value)) and not is_met(value, argument):
            return False
    further = schema.get("additionalProperties", True)
    if not isinstance(value, dict) or further is True:
        return True
    known = schema.get("properties", {})
    return all(conforms(inner, further) for key, inner in value.items() if key not in known)


def read_json(text: str) -> Any:
    """Return the value of a JSON text; ValueError where it is none, which NaN and Infinity are not either."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _is_same(value: Any, other: Any) -> bool:
    """Tell whether two JSON values are one: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_is_same, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_is_same(inner, other[key]) for key, inner in value.items())
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _is_form(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and bool(value) and all(isinstance(v, type) or _is_form(v) for v in value.values())
    )


def _typed(kind: type) -> dict[str, str]:
    if kind not in _NAMES:
        raise FunctionError(
            f"the schema has the type {kind.__name__}; {nearest(kind.__name__, [t.__name__ for t in _NAMES])}"
        )
    return {"type": _NAMES[kind]}


def _check(schema: Any) -> None:
    """Raise for what is not known here, in a schema or in one within it."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise FunctionError(f"a schema is a mapping, not {schema!r}")
    for keyword, argument in schema.items():
        if keyword not in KEYWORDS and keyword not in _NOTES:
            raise FunctionError(f"the schema has {keyword!r}, which is not known here; {nearest(keyword, KEYWORDS)}")
        expected, is_good = _ARGUMENTS.get(keyword, ("", None))
        if is_good is not None and not is_good(argument):
            raise FunctionError(f"the schema has {keyword!r}: {argument!r}; {expected} is expected")
        if keyword == "type":
            for name in [argument] if isinstance(argument, str) else argument:
                if name not in _TYPES:
                    raise FunctionError(f"the schema has the type {name!r}; {nearest(name, _TYPES)}")
        for inner in argument.values() if keyword == "properties" else ():
            _check(inner)
        if keyword in ("items", "additionalProperties"):
            _check(argument)

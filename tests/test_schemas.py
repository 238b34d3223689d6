"""The part of JSON Schema that is known, keyword by keyword."""

from typing import Any

import pytest

from weaklm.errors import FunctionError
from weaklm.schemas import conforms, read_json, schema_of


@pytest.mark.parametrize(
    ("schema", "fits", "fails"),
    [
        ({"type": "integer"}, [1, 2.0], [1.5, True, "1"]),
        ({"type": "number"}, [1, 1.5], [True, None]),
        ({"type": ["string", "null"]}, ["", None], [0]),
        ({"enum": [1, "a"]}, [1, "a"], [True, "b"]),
        ({"const": False}, [False], [0, None]),
        ({"required": ["a"]}, [{"a": None}, "no object"], [{}]),
        ({"properties": {"a": {"type": "string"}}}, [{"a": "x"}, {}], [{"a": 1}]),
        ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}], [{"b": 1}]),
        ({"additionalProperties": {"type": "null"}}, [{"a": None}], [{"a": 1}]),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
        ({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], ["a"], [1, 2, 3]]),
        ({"minLength": 1, "maxLength": 2, "pattern": "^a"}, ["a", "ab", 7], ["", "abc", "b"]),
        ({"minimum": 0, "maximum": 1}, [0, 1, "2"], [-0.1, 2]),
        ({"items": False}, [[]], [[1]]),
        ({"a": int, "b": {"c": list}}, [{"a": 1, "b": {"c": []}}], [{"a": 1}, {"a": 1, "b": {}}, {"a": 1, "b": []}]),
        ({"title": "any value"}, [1, None], []),
    ],
)
def test_values_fit_or_fail(schema: Any, fits: list[Any], fails: list[Any]) -> None:
    known = schema_of(schema)
    assert [conforms(value, known) for value in fits + fails] == [True] * len(fits) + [False] * len(fails)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "{'a': 1}", "[" * 100_000, "1 2"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"properties": {"a": {"typo": 1}}}, "the schema has 'typo', which is not known here"),
        ({"type": "text"}, "the schema has the type 'text'"),
        ({"items": 5}, "a schema is a mapping, not 5"),
        ({"a": bytes}, "the schema has the type bytes"),
    ],
)
def test_what_is_not_known_is_named(schema: Any, message: str) -> None:
    with pytest.raises(FunctionError, match=message):
        schema_of(schema)


def test_an_infinite_number_is_no_integer_and_a_huge_one_is() -> None:
    assert [conforms(read_json(text), {"type": "integer"}) for text in ("1e400", "1" + "0" * 400)] == [False, True]


def test_true_is_not_one_within_lists_and_objects_either() -> None:
    known = schema_of({"enum": [[1], {"a": [0]}]})
    values: list[Any] = [[1], [1.0], {"a": [0]}, [True], {"a": [False]}, [1, 1]]
    assert [conforms(value, known) for value in values] == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"minimum": "a"}, "the schema has 'minimum': 'a'; a number is expected"),
        ({"maximum": float("nan")}, "the schema has 'maximum': nan; a number"),
        ({"minItems": -1}, "the schema has 'minItems': -1; a whole number from 0 on"),
        ({"pattern": "("}, r"the schema has 'pattern': '\('; a regular expression"),
        ({"enum": "abc"}, "the schema has 'enum': 'abc'; a list"),
        ({"required": "fee"}, "the schema has 'required': 'fee'; a list of texts"),
        ({"type": 5}, "the schema has 'type': 5; a type or a list of types"),
        ({"properties": [1]}, r"the schema has 'properties': \[1\]; a mapping"),
        ({"const": {1}}, "the schema holds something that is no JSON: "),
        ({5: int}, r"the schema has the keys \[5\]; the keys of JSON are texts"),
    ],
)
def test_an_argument_that_a_keyword_cannot_have_is_named(schema: Any, message: str) -> None:
    with pytest.raises(FunctionError, match=message):
        schema_of(schema)

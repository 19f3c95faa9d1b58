"""Texts of schemas: their types, what is wrong with them and where, and when two texts are the same schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from kplan.kinds.subject.places import find_line, find_repeated_key, locate
from kplan.kinds.subject.protobuf import find_problem, list_tokens

SUFFIXES: Final = {".avsc": "avro", ".avro": "avro", ".json": "json", ".proto": "protobuf"}
SCHEMA_TYPES: Final = ("avro", "json", "protobuf")
MAX_MESSAGE: Final = 300
INNER: Final = ("type", "items", "values")  # keys of an Avro type whose value is a type
DEEP: Final = "it is nested too deeply"


class SchemaProblem(ValueError):
    """Why a text is not a schema, with the line and the column, both from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1, help: str = "") -> None:
        super().__init__(message)
        self.line, self.column, self.help = line, column, help


def find_type(file: str) -> str:
    """Return the type of a schema by its file's name; empty where the suffix says none."""
    return next((kind for suffix, kind in SUFFIXES.items() if file.endswith(suffix)), "")


def check_schema(schema_type: str, text: str, names: Sequence[str] = (), references: Sequence[str] = ()) -> None:
    """Raise SchemaProblem, with the place, for a text that is not a schema.

    `names` are those of its references, `references` their texts, as far as they are known.
    """
    if schema_type == "avro":
        _check_avro(text, names, references)
    elif schema_type == "json":
        _check_json_schema(text)
    elif schema_type == "protobuf":
        _check_protobuf(text)
    else:
        raise SchemaProblem(f"{schema_type!r} is not a type of schemas", help=f"one of {', '.join(SCHEMA_TYPES)}")


def normalize(schema_type: str, text: str) -> str:
    """Return the same text for texts that differ in white space, in the order of keys, or in comments alone.

    An Avro type that is an object with a primitive's name alone is that name: both are one schema to every registry.
    """
    if schema_type == "protobuf":
        return " ".join(word for word, _ in list_tokens(text))
    try:
        data = json.loads(text)
        simple = _simplify(data) if schema_type == "avro" else data
        return json.dumps(simple, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def fingerprint(schema_type: str, text: str) -> str:
    """Return the sha256 of the normalized text, in hex."""
    normalized = f"{schema_type}\n{normalize(schema_type, text)}"
    return hashlib.sha256(normalized.encode("utf-8", "surrogatepass")).hexdigest()


def _simplify(node: Any) -> Any:
    """Return an Avro type, with each type in it that is an object with a name alone as that name."""
    if isinstance(node, list):
        return [_simplify(branch) for branch in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == {"type"} and isinstance(node["type"], str):
        return node["type"]
    inner = {key: _simplify(node[key]) for key in INNER if key in node}
    if isinstance(node.get("fields"), list):
        inner["fields"] = [
            field | {"type": _simplify(field["type"])} if isinstance(field, dict) and "type" in field else field
            for field in node["fields"]
        ]
    return node | inner


def _load(text: str) -> Any:
    """Return what JSON holds. Raises SchemaProblem with the place."""
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant)
    except json.JSONDecodeError as e:
        raise SchemaProblem(f"it is not JSON: {e.msg}", e.lineno, e.colno, "correct the JSON there") from e
    except _RepeatedKeyError as e:
        name, offset = find_repeated_key(text) or ("a key", 0)
        message = f"one object has {_shorten(repr(name))} twice"
        raise SchemaProblem(message, *find_line(text, offset), "remove one of the two") from e
    except RecursionError as e:
        raise SchemaProblem(DEEP, help="name its types, and use their names") from e
    except ValueError as e:
        raise SchemaProblem(_shorten(str(e)), help="correct the JSON") from e


class _RepeatedKeyError(ValueError):
    """One object has a key twice."""


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedKeyError
    return members


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _shorten(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"


def _check_avro(text: str, names: Sequence[str], references: Sequence[str]) -> None:
    from kplan.kinds.subject.avro import AvroProblem, find_problems, list_names, parse_avro

    data = _load(text)
    is_partial = len(references) < len(names)  # a reference is not in this stack: the registry knows its types
    for problem in find_problems(data, [*names, *list_names(references)]):
        if problem.is_unknown_name and is_partial:
            continue
        place = locate(text, problem.pointer)
        raise SchemaProblem(_shorten(str(problem)), *place, help="see the Avro specification")
    if is_partial:
        return
    try:
        parse_avro(text, references)
    except AvroProblem as e:
        raise SchemaProblem(_shorten(str(e)), help="see the Avro specification") from e


def _check_json_schema(text: str) -> None:
    from jsonschema import FormatChecker
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    data: Any = _load(text)
    if not isinstance(data, dict | bool):
        raise SchemaProblem("a JSON Schema is an object")
    if isinstance(data, dict) and not isinstance(data.get("$schema", ""), str):
        raise SchemaProblem("/$schema: it is the address of a metaschema, a string", *locate(text, "/$schema"))
    try:
        checker: Any = validator_for(data, default=Draft202012Validator)  # of a $schema that is not known
        checker.check_schema(data, format_checker=FormatChecker(["regex"]))  # others depend on what is installed
    except SchemaError as e:
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in e.path)
        raise SchemaProblem(_shorten(f"{pointer or 'it'}: {e.message}"), *locate(text, pointer)) from e
    except RecursionError as e:
        raise SchemaProblem(DEEP) from e


def _check_protobuf(text: str) -> None:
    """Raise SchemaProblem for what cannot be protobuf; the registry judges the rest."""
    problem = find_problem(text)
    if problem is not None:
        message, offset = problem
        raise SchemaProblem(message, *find_line(text, offset))

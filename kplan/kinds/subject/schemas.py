"""Texts of schemas: their types, what is wrong with them and where, and when two texts are the same schema."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from kplan.kinds.subject.places import locate

SUFFIXES: Final = {".avsc": "avro", ".avro": "avro", ".json": "json", ".proto": "protobuf"}
SCHEMA_TYPES: Final = ("avro", "json", "protobuf")
_COMMENT: Final = re.compile(r'("(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\')|//[^\n]*|/\*.*?\*/', re.DOTALL)


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

    A type that is an object with a primitive's name alone is that name: both are one schema to every registry.
    """
    if schema_type == "protobuf":
        return " ".join(_COMMENT.sub(lambda match: match[1] or " ", text).split())
    try:
        return json.dumps(_simplify(json.loads(text)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def fingerprint(schema_type: str, text: str) -> str:
    """Return the sha256 of the normalized text, in hex."""
    return hashlib.sha256(f"{schema_type}\n{normalize(schema_type, text)}".encode()).hexdigest()


def _simplify(node: Any) -> Any:
    if isinstance(node, dict):
        if node.keys() == {"type"} and isinstance(node["type"], str):
            return node["type"]
        return {key: value if key == "default" else _simplify(value) for key, value in node.items()}
    return [_simplify(each) for each in node] if isinstance(node, list) else node


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeated_keys)
    except json.JSONDecodeError as e:
        raise SchemaProblem(f"it is not JSON: {e.msg}", e.lineno, e.colno, "correct the JSON there") from e
    except RecursionError as e:
        raise SchemaProblem("it is nested too deeply", help="name its types, and use their names") from e
    except ValueError as e:
        raise SchemaProblem(str(e), help="correct the JSON") from e


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"one object has {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _check_avro(text: str, names: Sequence[str], references: Sequence[str]) -> None:
    from kplan.kinds.subject.avro import AvroProblem, find_problems, parse_avro

    data = _load(text)
    for problem in find_problems(data, names):
        raise SchemaProblem(str(problem), *locate(text, problem.pointer), help="see the Avro specification")
    if len(references) < len(names):
        return  # what it refers to is not in this stack: the registry knows it
    try:
        parse_avro(text, references)
    except AvroProblem as e:
        raise SchemaProblem(str(e), help="see the Avro specification") from e


def _check_json_schema(text: str) -> None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    data: Any = _load(text)
    if not isinstance(data, dict | bool):
        raise SchemaProblem("a JSON Schema is an object")
    try:
        checker: Any = validator_for(data)
        checker.check_schema(data)
    except SchemaError as e:
        pointer = "".join(f"/{part}" for part in e.path)
        raise SchemaProblem(f"{pointer or 'it'}: {e.message}"[:300], *locate(text, pointer)) from e
    except RecursionError as e:
        raise SchemaProblem("it is nested too deeply") from e


def _check_protobuf(text: str) -> None:
    """Raise SchemaProblem for what cannot be protobuf; the registry judges the rest."""
    plain = _COMMENT.sub(lambda match: match[1] or " ", text)
    depth = 0
    for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"|[{}]', plain):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            raise SchemaProblem("a } without its {", plain.count("\n", 0, match.start()) + 1)
    if depth or not re.search(r"\b(message|enum)\s+\w+\s*\{", plain):
        raise SchemaProblem("a { is not closed" if depth else "it has neither a message nor an enum")

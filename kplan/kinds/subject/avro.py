"""Avro schemas: parsed by the library of the Avro project, with the place of what is wrong.

Source: https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from avro.schema import Schema

PRIMITIVES: Final = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))
NAMED: Final = ("record", "error", "enum", "fixed")
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")
MAX_DEPTH: Final = 100


class AvroProblem(ValueError):
    """Why a text is not an Avro schema; `pointer` is the JSON pointer of the place."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


def parse_avro(text: str, references: Sequence[str] = ()) -> Schema:
    """Return the schema; `references` are the texts of schemas whose names it uses. Raises AvroProblem."""
    from avro.errors import AvroException
    from avro.name import Names
    from avro.schema import make_avsc_object

    try:
        names = Names()
        for reference in references:
            make_avsc_object(json.loads(reference), names)
        return make_avsc_object(json.loads(text), names)
    except (AvroException, ValueError, TypeError, AttributeError, KeyError, RecursionError) as e:
        raise AvroProblem(str(e) or type(e).__name__) from e


def find_problems(schema: Any, known: Sequence[str] = ()) -> Iterator[AvroProblem]:
    """Yield what is wrong with the structure of a schema; `known` are names that its references define."""
    yield from _Walk(set(known)).check(schema, "", "", 0)


def list_unknown_names(schema: Any) -> list[str]:
    """Return the names of types that a schema uses and does not define."""
    walk = _Walk(set())
    list(walk.check(schema, "", "", 0))
    return list(dict.fromkeys(walk.unknown))


class _Walk:
    """Walks through a schema, and knows the names that were defined before each place."""

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.unknown: list[str] = []

    def check(self, node: Any, at: str, space: str, depth: int) -> Iterator[AvroProblem]:
        if depth > MAX_DEPTH:
            yield AvroProblem(f"it is nested more than {MAX_DEPTH} levels deep", at)
        elif isinstance(node, str):
            yield from self._check_name(node, at, space)
        elif isinstance(node, list):
            for number, branch in enumerate(node):
                if isinstance(branch, list):
                    yield AvroProblem("a union cannot hold another union", f"{at}/{number}")
                yield from self.check(branch, f"{at}/{number}", space, depth + 1)
        elif isinstance(node, dict):
            yield from self._check_map(node, at, space, depth)
        else:
            yield AvroProblem("a type is a name, an object or a list", at)

    def _check_name(self, name: str, at: str, space: str) -> Iterator[AvroProblem]:
        if name in PRIMITIVES or name in self.known or f"{space}.{name}" in self.known:
            return
        self.unknown.append(name)
        yield AvroProblem(f"there is no type {name!r}: it is neither primitive nor defined before", at)

    def _check_map(self, node: Mapping[str, Any], at: str, space: str, depth: int) -> Iterator[AvroProblem]:
        kind = node.get("type")
        if kind in NAMED:
            yield from self._check_named(node, str(kind), at, space, depth)
        elif kind in ("array", "map"):
            key = "items" if kind == "array" else "values"
            if key not in node:
                yield AvroProblem(f"an Avro {kind} needs `{key}`", at)
            else:
                yield from self.check(node[key], f"{at}/{key}", space, depth + 1)
        elif kind is None:
            yield AvroProblem("it has no `type`", at)
        else:
            yield from self.check(kind, f"{at}/type", space, depth + 1)

    def _check_named(
        self, node: Mapping[str, Any], kind: str, at: str, space: str, depth: int
    ) -> Iterator[AvroProblem]:
        name = node.get("name")
        if not isinstance(name, str) or not NAME.match(name):
            yield AvroProblem(f"a {kind} needs a `name` of letters, digits and _", f"{at}/name" if name else at)
            return
        own = name.rpartition(".")[0] or str(node.get("namespace", space) or "")
        full = name if "." in name or not own else f"{own}.{name}"
        if full in self.known:
            yield AvroProblem(f"{full} is defined twice", f"{at}/name")
        self.known |= {full, name} if own == space else {full}
        if kind == "enum":
            yield from self._check_symbols(node, at)
        elif kind == "fixed":
            if not isinstance(node.get("size"), int):
                yield AvroProblem("a fixed needs `size`, a number of bytes", at)
        else:
            yield from self._check_fields(node, at, own, depth)

    def _check_symbols(self, node: Mapping[str, Any], at: str) -> Iterator[AvroProblem]:
        symbols = node.get("symbols")
        if not isinstance(symbols, list) or not symbols:
            yield AvroProblem("an enum needs `symbols`, a list of names", at)
            return
        for number, symbol in enumerate(symbols):
            if not isinstance(symbol, str) or not NAME.match(symbol) or "." in symbol:
                yield AvroProblem(f"{symbol!r} is not a symbol: letters, digits and _", f"{at}/symbols/{number}")
            elif symbol in symbols[:number]:
                yield AvroProblem(f"{symbol} is there twice", f"{at}/symbols/{number}")

    def _check_fields(self, node: Mapping[str, Any], at: str, space: str, depth: int) -> Iterator[AvroProblem]:
        fields = node.get("fields")
        if not isinstance(fields, list):
            yield AvroProblem("a record needs `fields`, a list", at)
            return
        names: set[str] = set()
        for number, field in enumerate(fields):
            place = f"{at}/fields/{number}"
            if not isinstance(field, dict) or not isinstance(field.get("name"), str):
                yield AvroProblem("a field needs a `name`", place)
                continue
            if not NAME.match(field["name"]) or "." in field["name"]:
                yield AvroProblem(f"{field['name']!r} is not a name: letters, digits and _", f"{place}/name")
            elif field["name"] in names:
                yield AvroProblem(f"field {field['name']} is there twice", f"{place}/name")
            names.add(field["name"])
            if "type" not in field:
                yield AvroProblem(f"field {field['name']} needs a `type`", place)
                continue
            yield from self.check(field["type"], f"{place}/type", space, depth + 1)
            if "default" in field and not _fits(field["default"], field["type"]):
                yield AvroProblem(
                    f"the default of {field['name']} does not fit its type, the first one of a union",
                    f"{place}/default",
                )


def _fits(value: Any, kind: Any) -> bool:
    """Whether a default fits a type; one that only a name tells is taken for fitting."""
    if isinstance(kind, list):
        return any(_fits(value, branch) for branch in kind)  # since Avro 1.12; before, of the first branch alone
    if isinstance(kind, dict):
        inner = kind.get("type")
        if inner in ("record", "error", "map"):
            return isinstance(value, dict)
        if inner == "array":
            return isinstance(value, list)
        return isinstance(value, str) if inner in ("enum", "fixed") else _fits(value, inner)
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "long": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "double": isinstance(value, int | float) and not isinstance(value, bool),
        "bytes": isinstance(value, str),
        "string": isinstance(value, str),
    }.get(str(kind), True)

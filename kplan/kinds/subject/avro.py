"""Avro schemas: parsed by the library of the Avro project, with the place of what is wrong.

Source: https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from avro.name import Names
    from avro.schema import Schema

PRIMITIVES: Final = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))
NAMED: Final = ("record", "error", "enum", "fixed")
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")
SIMPLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MAX_DEPTH: Final = 100
MAX_MESSAGE: Final = 300
INTEGERS: Final = {"int": 1 << 31, "long": 1 << 63}


class AvroProblem(ValueError):
    """Why a text is not an Avro schema; `pointer` is the JSON pointer of the place.

    `is_unknown_name`: it uses a type that neither it nor what is known of its references defines.
    """

    def __init__(self, message: str, pointer: str = "", is_unknown_name: bool = False) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.is_unknown_name = is_unknown_name


def parse_avro(text: str, references: Sequence[str] = ()) -> Schema:
    """Return the schema; `references` are the texts of schemas whose names it uses, in any order. Raises AvroProblem.

    Logical types are left out: they change nothing of what a reader can read, and those that the library does not
    know are warnings to it.
    """
    from avro.errors import AvroException
    from avro.name import Names
    from avro.schema import make_avsc_object

    names = Names()
    waiting = list(references)
    try:
        while waiting:
            failures = [each for each in waiting if not _define(each, names)]
            if len(failures) == len(waiting):
                make_avsc_object(_load_plain(failures[0]), names)
            waiting = failures
        return make_avsc_object(_load_plain(text), names)
    except (AvroException, ValueError, TypeError, AttributeError, KeyError, RecursionError) as e:
        raise AvroProblem(str(e)[:MAX_MESSAGE] or type(e).__name__) from e


def _define(text: str, names: Names) -> bool:
    """Add the types of a text to the names that are known; False, and nothing is added, where it needs others."""
    from avro.errors import AvroException
    from avro.schema import make_avsc_object

    before = dict(names.names)
    try:
        make_avsc_object(_load_plain(text), names)
    except AvroException:
        names.names, names.default_namespace = before, None
        return False
    return True


def _load_plain(text: str) -> Any:
    def leave_out(pairs: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in pairs.items() if key != "logicalType"}

    return json.loads(text, object_hook=leave_out)


def list_names(texts: Sequence[str]) -> list[str]:
    """Return the full names of the types that texts define, as far as they can be read."""
    walk = _Walk(set())
    for text in texts:
        try:
            list(walk.check(json.loads(text), "", "", 0))
        except (ValueError, RecursionError):
            continue
    return sorted(walk.known)


def find_problems(schema: Any, known: Sequence[str] = ()) -> Iterator[AvroProblem]:
    """Yield what is wrong with the structure of a schema; `known` are names that its references define."""
    yield from _Walk(set(known)).check(schema, "", "", 0)


class _Walk:
    """Walks through a schema, and knows the names that were defined before each place."""

    def __init__(self, known: set[str]) -> None:
        self.known = known

    def check(self, node: Any, at: str, space: str, depth: int) -> Iterator[AvroProblem]:
        if depth > MAX_DEPTH:
            yield AvroProblem(f"it is nested more than {MAX_DEPTH} levels deep", at)
        elif isinstance(node, str):
            yield from self._check_name(node, at, space)
        elif isinstance(node, list):
            yield from self._check_union(node, at, space, depth)
        elif isinstance(node, dict):
            yield from self._check_map(node, at, space, depth)
        else:
            yield AvroProblem("a type is a name, an object or a list", at)

    def _check_union(self, node: Sequence[Any], at: str, space: str, depth: int) -> Iterator[AvroProblem]:
        kinds: set[str] = set()
        for number, branch in enumerate(node):
            place = f"{at}/{number}"
            if isinstance(branch, list):
                yield AvroProblem("a union cannot hold another union", place)
            kind = _name_kind(branch, space)
            if kind in kinds:
                yield AvroProblem(f"the union has {kind} twice", place)
            kinds |= {kind} if kind else set()
            yield from self.check(branch, place, space, depth + 1)

    def _check_name(self, name: str, at: str, space: str) -> Iterator[AvroProblem]:
        if name in PRIMITIVES or name in self.known or f"{space}.{name}" in self.known:
            return
        yield AvroProblem(f"there is no type {_quote(name)}: it is neither primitive nor defined before", at, True)

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
        self.known.add(full)
        if kind == "enum":
            yield from self._check_symbols(node, at)
        elif kind == "fixed":
            size = node.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                yield AvroProblem("a fixed needs `size`, a number of bytes", f"{at}/size" if "size" in node else at)
        else:
            yield from self._check_fields(node, at, own, depth)

    def _check_symbols(self, node: Mapping[str, Any], at: str) -> Iterator[AvroProblem]:
        symbols = node.get("symbols")
        if not isinstance(symbols, list) or not symbols:
            yield AvroProblem("an enum needs `symbols`, a list of names", at)
            return
        names: set[str] = set()
        for number, symbol in enumerate(symbols):
            place = f"{at}/symbols/{number}"
            if not isinstance(symbol, str) or not SIMPLE_NAME.match(symbol):
                yield AvroProblem(f"{_quote(symbol)} is not a symbol: letters, digits and _", place)
            elif symbol in names:
                yield AvroProblem(f"{symbol} is there twice", place)
            else:
                names.add(symbol)
        if "default" in node and node["default"] not in symbols:
            yield AvroProblem(f"the default {_quote(node['default'])} is not a symbol of the enum", f"{at}/default")

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
            if not SIMPLE_NAME.match(field["name"]):
                yield AvroProblem(f"{_quote(field['name'])} is not a name: letters, digits and _", f"{place}/name")
            elif field["name"] in names:
                yield AvroProblem(f"field {field['name']} is there twice", f"{place}/name")
            names.add(field["name"])
            if "type" not in field:
                yield AvroProblem(f"field {field['name']} needs a `type`", place)
                continue
            problems = list(self.check(field["type"], f"{place}/type", space, depth + 1))
            yield from problems
            if "default" in field and not problems and not _fits(field["default"], field["type"]):
                yield AvroProblem(f"the default of {field['name']} does not fit its type", f"{place}/default")


def _quote(value: Any) -> str:
    return repr(value)[:MAX_MESSAGE]


def _name_kind(branch: Any, space: str) -> str:
    """Return what a union can hold once: a type without a name, or a name; empty where it cannot be told."""
    if isinstance(branch, str):
        return branch if branch in PRIMITIVES or "." in branch or not space else f"{space}.{branch}"
    kind = branch.get("type") if isinstance(branch, dict) else None
    return kind if isinstance(kind, str) and kind not in NAMED else ""


def _fits(value: Any, kind: Any, depth: int = 0) -> bool:
    """Whether a default fits a type; one that only a name tells is taken for fitting."""
    if depth > MAX_DEPTH:
        return True
    if isinstance(kind, list):
        return any(_fits(value, branch, depth + 1) for branch in kind)  # since Avro 1.12; before, of the first one
    if isinstance(kind, dict):
        return _fits_object(value, kind, depth + 1)
    if kind in INTEGERS:
        limit = INTEGERS[str(kind)]
        return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "double": isinstance(value, int | float) and not isinstance(value, bool),
        "bytes": _is_binary(value),
        "string": isinstance(value, str),
    }.get(str(kind), True)


def _fits_object(value: Any, kind: Mapping[str, Any], depth: int) -> bool:
    inner = kind.get("type")
    if inner in ("record", "error"):
        return isinstance(value, dict) and all(
            _fits(value[field["name"]], field["type"], depth) if field["name"] in value else "default" in field
            for field in kind["fields"]
        )
    if inner == "map":
        return isinstance(value, dict) and all(_fits(each, kind["values"], depth) for each in value.values())
    if inner == "array":
        return isinstance(value, list) and all(_fits(each, kind["items"], depth) for each in value)
    if inner == "enum":
        return isinstance(value, str) and value in kind["symbols"]
    if inner == "fixed":
        return _is_binary(value) and len(value) == kind["size"]
    return _fits(value, inner, depth)


def _is_binary(value: Any) -> bool:
    """Whether a text has characters of one byte alone, as Avro writes bytes in JSON."""
    return isinstance(value, str) and all(ord(character) < 256 for character in value)

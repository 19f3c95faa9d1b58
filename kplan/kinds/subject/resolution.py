"""Avro's schema resolution: where a reader's schema cannot read what a writer's schema wrote.

Source: https://avro.apache.org/docs/1.12.0/specification/#schema-resolution. `avro.compatibility` reaches the same
verdicts, but loses the place of what is inside a union, and does not know the namespace of an alias.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kplan.kinds.subject.avro import NAMED, PRIMITIVES
from kplan.values import dataclass

COMPLEX: Final = (*NAMED, "array", "map")
PROMOTIONS: Final[Mapping[str, Sequence[str]]] = {  # what a reader's type reads in addition to itself
    "long": ("int",),
    "float": ("int", "long"),
    "double": ("int", "long", "float"),
    "bytes": ("string",),
    "string": ("bytes",),
}


@dataclass(frozen=True, slots=True)
class TypeNode:
    """A type in a schema: its JSON, its place as a JSON pointer, and the namespace around it.

    A type that another text defines has the place of the name that refers to it, and so has what is inside it.
    """

    data: Any
    at: str
    space: str = ""
    is_here: bool = True

    @property
    def kind(self) -> str:
        if isinstance(self.data, list):
            return "union"
        kind = str(self.data["type"] if isinstance(self.data, dict) else self.data)
        return "record" if kind == "error" else kind

    @property
    def name(self) -> str:
        return str(self.data["name"]).rpartition(".")[2]

    @property
    def own_space(self) -> str:
        """Return the namespace of a named type, which is that of what it defines."""
        given = str(self.data["name"]).rpartition(".")[0]
        return given or str(self.data.get("namespace", self.space) or "")

    @property
    def full_name(self) -> str:
        return qualify(self.name, self.own_space)

    def enter(self, data: Any, suffix: str, space: str | None = None) -> TypeNode:
        """Return a type inside this one."""
        at = self.at + suffix if self.is_here else self.at
        return TypeNode(data, at, self.space if space is None else space, self.is_here)

    def list_branches(self) -> list[TypeNode]:
        return [self.enter(branch, f"/{number}") for number, branch in enumerate(self.data)]

    def list_types(self) -> list[TypeNode]:
        """Return the types that this one holds."""
        if isinstance(self.data, list):
            return self.list_branches()
        if not isinstance(self.data, dict):
            return []
        if self.kind == "record":
            fields = enumerate(self.data["fields"])
            return [self.enter(field["type"], f"/fields/{n}/type", self.own_space) for n, field in fields]
        key = {"array": "items", "map": "values"}.get(self.kind, "type")
        return [] if self.kind in (*PRIMITIVES, *NAMED) else [self.enter(self.data[key], f"/{key}")]

    def describe(self) -> str:
        return f"{self.kind} {self.name}" if self.kind in NAMED else self.kind


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a reader's type cannot read a writer's type: Avro's rule, a reason, and the places in both schemas.

    `field` is the path of the field, such as `after.total`; empty outside of fields.
    """

    rule: str
    reason: str
    field: str
    reader_at: str
    writer_at: str


class Definitions:
    """A schema with the named types that it and its references define. The texts are Avro schemas."""

    def __init__(self, text: str, references: Sequence[str] = ()) -> None:
        self.types: dict[str, TypeNode] = {}
        for reference in references:
            self._collect(TypeNode(json.loads(reference), "", is_here=False))
        self.root = TypeNode(json.loads(text), "")
        self._collect(self.root)

    def _collect(self, root: TypeNode) -> None:
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if isinstance(node.data, dict) and node.data["type"] in NAMED:
                self.types[node.full_name] = node
            waiting += node.list_types()

    def follow(self, node: TypeNode) -> TypeNode:
        """Return what a name, or an object that only wraps a type, leads to."""
        while True:
            if isinstance(node.data, dict) and node.data["type"] not in (*COMPLEX, *PRIMITIVES):
                node = node.enter(node.data["type"], "/type")
            elif isinstance(node.data, str) and node.data not in PRIMITIVES:
                place, node = node, self.types.get(qualify(node.data, node.space)) or self.types[node.data]
                return node if node.is_here else TypeNode(node.data, place.at, node.space, is_here=False)
            else:
                return node


def qualify(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def find_mismatches(reader: Definitions, writer: Definitions) -> tuple[Mismatch, ...]:
    """Return why a reader's schema cannot read what a writer's schema wrote; nothing where it can."""
    return tuple(dict.fromkeys(_Resolution(reader, writer).compare(reader.root, writer.root, "")))


class _Resolution:
    """Compares types in pairs, each pair once: a type that holds itself is compared within itself already."""

    def __init__(self, reader: Definitions, writer: Definitions) -> None:
        self.reader, self.writer = reader, writer
        self.results: dict[tuple[int, int], tuple[Mismatch, ...]] = {}
        self.branches: dict[int, Mapping[str, Sequence[TypeNode]]] = {}

    def compare(self, reader: TypeNode, writer: TypeNode, field: str) -> tuple[Mismatch, ...]:
        reader, writer = self.reader.follow(reader), self.writer.follow(writer)
        pair = (id(reader.data), id(writer.data))
        if isinstance(reader.data, str) or isinstance(writer.data, str):
            return tuple(self._compare(reader, writer, field))  # a primitive holds nothing
        if pair not in self.results:
            self.results[pair] = ()
            self.results[pair] = tuple(self._compare(reader, writer, field))
        return self.results[pair]

    def _compare(self, reader: TypeNode, writer: TypeNode, field: str) -> Iterator[Mismatch]:
        kinds = (reader.kind, writer.kind)
        if writer.kind == "union":
            for branch in writer.list_branches():
                yield from self.compare(reader, branch, field)
        elif reader.kind == "union":
            yield from self._choose_branch(reader, writer, field)
        elif reader.kind != writer.kind:
            if writer.kind not in PROMOTIONS.get(reader.kind, ()):
                reason = f"{reader.describe()} cannot read {writer.describe()}"
                yield Mismatch("TYPE_MISMATCH", reason, field, reader.at, writer.at)
        elif kinds == ("array", "array"):
            yield from self.compare(reader.list_types()[0], writer.list_types()[0], f"{field}[]")
        elif kinds == ("map", "map"):
            yield from self.compare(reader.list_types()[0], writer.list_types()[0], f"{field}{{}}")
        elif reader.kind in NAMED and not _has_same_name(reader, writer):
            reason = f"{reader.describe()} cannot read {writer.describe()}: the names differ, and no alias helps"
            yield Mismatch("NAME_MISMATCH", reason, field, reader.enter(0, "/name").at, writer.enter(0, "/name").at)
        elif reader.kind == "record":
            yield from self._compare_fields(reader, writer, field)
        elif reader.kind in NAMED:
            yield from _compare_contents(reader, writer, field)

    def _choose_branch(self, reader: TypeNode, writer: TypeNode, field: str) -> Iterator[Mismatch]:
        """Yield why the nearest branch of the reader's union does not read the writer's type; nothing if one does."""
        nearest: tuple[Mismatch, ...] = ()
        branches = self._group_branches(reader)
        wider = [kind for kind, narrower in PROMOTIONS.items() if writer.kind in narrower]
        for branch in [each for key in (writer.describe(), *wider) for each in branches.get(key, ())]:
            mismatches = self.compare(branch, writer, field)
            if not mismatches:
                return
            if branch.kind not in NAMED or _has_same_name(branch, writer):
                nearest = nearest or mismatches
        reason = f"its union has no type that reads {writer.describe()}"
        yield from nearest or (Mismatch("MISSING_UNION_BRANCH", reason, field, reader.at, writer.at),)

    def _group_branches(self, union: TypeNode) -> Mapping[str, Sequence[TypeNode]]:
        """Return the types of a reader's union, by what they may read: one is looked up, not tried with all others."""
        if id(union.data) not in self.branches:
            groups: dict[str, list[TypeNode]] = {}
            for branch in map(self.reader.follow, union.list_branches()):
                aliases = branch.data.get("aliases") if branch.kind in NAMED else None
                names = [str(each).rpartition(".")[2] for each in aliases] if isinstance(aliases, list) else []
                for key in dict.fromkeys((branch.describe(), *(f"{branch.kind} {name}" for name in names))):
                    groups.setdefault(key, []).append(branch)
            self.branches[id(union.data)] = groups
        return self.branches[id(union.data)]

    def _compare_fields(self, reader: TypeNode, writer: TypeNode, path: str) -> Iterator[Mismatch]:
        types = writer.list_types()
        written = {field["name"]: types[number] for number, field in enumerate(writer.data["fields"])}
        for number, (field, own) in enumerate(zip(reader.data["fields"], reader.list_types(), strict=True)):
            name = f"{path}.{field['name']}".lstrip(".")
            aliases = field.get("aliases") if isinstance(field.get("aliases"), list) else ()
            found = next((written[each] for each in (field["name"], *(aliases or ())) if each in written), None)
            if found is not None:
                yield from self.compare(own, found, name)
            elif "default" not in field:
                places = reader.enter(0, f"/fields/{number}").at, writer.enter(0, "/fields").at
                reason = "has no default, and the other schema lacks it"
                yield Mismatch("READER_FIELD_MISSING_DEFAULT_VALUE", reason, name, *places)


def _has_same_name(reader: TypeNode, writer: TypeNode) -> bool:
    """Whether the names are the same without their namespaces, or the reader has the writer's name as an alias."""
    aliases = reader.data.get("aliases")
    known = [qualify(str(each), reader.own_space) for each in aliases] if isinstance(aliases, list) else []
    return reader.name == writer.name or writer.full_name in known


def _compare_contents(reader: TypeNode, writer: TypeNode, field: str) -> Iterator[Mismatch]:
    """Compare two enums, or two fixed types."""
    if reader.kind == "fixed" and reader.data["size"] != writer.data["size"]:
        reason = f"{reader.describe()} has {reader.data['size']} bytes, and {writer.data['size']} in the other schema"
        yield Mismatch("FIXED_SIZE_MISMATCH", reason, field, *(each.enter(0, "/size").at for each in (reader, writer)))
    elif reader.kind == "enum" and reader.data.get("default") not in reader.data["symbols"]:
        own = set(reader.data["symbols"])
        missing = [symbol for symbol in writer.data["symbols"] if symbol not in own]
        if missing:
            reason = f"{reader.describe()} lacks {', '.join(missing[:5])}, and has no default"
            places = (each.enter(0, "/symbols").at for each in (reader, writer))
            yield Mismatch("MISSING_ENUM_SYMBOLS", reason, field, *places)

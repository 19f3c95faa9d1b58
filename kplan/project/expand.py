"""Expand a stack file with its variables and environment: for_each, templates, tables and topics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.base import Kind
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.expansion import ExpansionContext, refuse_files
from kplan.kinds.registry import KINDS, comparison_of, parse_address
from kplan.kinds.schemas import read_schema
from kplan.kinds.topic.settings import rules
from kplan.language import variables
from kplan.language.source import Document
from kplan.language.template import TooMuch
from kplan.model import (
    Address,
    File,
    Guards,
    Move,
    Removal,
    Resource,
    Stack,
)
from kplan.patterns import late_pattern
from kplan.project import environment as environments
from kplan.project import guard
from kplan.project.environment import Environment
from kplan.project.ownership import spread_ownership
from kplan.values import dataclass

STACK_NAME = late_pattern(r"[a-z0-9-]{1,63}\Z")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hold all that a stack's expansion depends on in addition to its file. `find_template` loads one by name."""

    environment: Environment
    given: variables.Given = variables.Given()
    find_template: Callable[[str], tuple[Blueprint | None, Sequence[Diagnostic]]] = lambda name: (None, ())
    files: tuple[File, ...] = ()
    read_file: Callable[[str], tuple[str, bytes]] = refuse_files


@dataclass(slots=True)
class Expansion(ExpansionContext):
    """Expand one stack from a document to resources; `problems` grows."""

    inputs: Inputs = field(kw_only=True)

    # -- the parts ------------------------------------------------------------------------------------------------
    def run(self) -> Stack | None:
        data = self.document.data
        values, problems = variables.settle(self.document, self.inputs.given)
        env = self.inputs.environment
        name_scope = values.scope(kplan={"env": env.name})
        name = self.value(data["stack"], ("stack",), name_scope)
        if not isinstance(name, str) or not STACK_NAME.match(name):
            if name is not None:
                self.report(codes.K212, "bad stack name", f"{name!r}", ("stack",), "1 to 63 of a-z, 0-9 and -")
            name = "unnamed"
        elif any((rule or {}).get("from") for rule in (data.get("variables") or {}).values()):
            values, problems = variables.settle(self.document, self.inputs.given, name)
        self.problems += problems
        self.scope = values.scope(kplan={"env": env.name, "stack": name, "bootstrap": env.bootstrap})
        languages = [kind.language for kind in KINDS.values() if kind.is_in_every_plan or _is_used(kind, data)]
        for language in languages:
            language.expand(self)
        for report_undeclared, topics in self.expected:
            report_undeclared(topics)
        self.problems += self.topics.problems
        own = self.block({key: data[key] for key in ("team", "labels") if key in data}, ()) or {}
        self.resources.update(spread_ownership(self.resources, rules(own)))
        guards = self._merge_guards(data, env)
        removed, moved = self._read_removals(data), self._read_moves(data)
        self._find_contradictions(removed, moved)
        self.problems += guard.check_guards(self.resources, guards, self.internal)
        for language in languages:
            self.problems += language.check(self)
        used = sorted({name for resource in self.resources.values() for name in list_env_sources(resource, env)})
        return Stack(
            name,
            env.name,
            self.resources,
            removed,
            moved,
            guards,
            self.inputs.files,
            tuple(used),
            {name: self.document.key_at("variables", name) for name in values.unset},
            {name: variable for name in values.unset if (variable := (data["variables"][name] or {}).get("env"))},
            env.kafka_topic,
            env.policies,
            env.links,
        )

    def _merge_guards(self, data: Mapping[str, Any], env: Environment) -> Guards:
        stack_guards = environments.read_guards(self.block(data.get("guards") or {}, ("guards",)) or {})
        shares = [s for s in (stack_guards.max_changes, env.guards.max_changes) if s is not None]
        return Guards(
            stack_guards.create and env.guards.create,
            min(shares, default=None),
            stack_guards.naming + env.guards.naming,
            {
                kind: stack_guards.schemas.get(kind, ()) + env.guards.schemas.get(kind, ())
                for kind in KINDS
                if kind in stack_guards.schemas or kind in env.guards.schemas
            },
            self.document.at("guards") if "guards" in data else None,
            env.guards.create_source if stack_guards.create else "",
        )

    def _read_removals(self, data: Mapping[str, Any]) -> tuple[Removal, ...]:
        removals = []
        for i, entry in enumerate(self.block(data.get("removed") or [], ("removed",)) or []):
            found = self._read_removed_name(entry, i)
            if found is None:
                continue
            address, is_prefix = found
            removals.append(
                Removal(
                    address,
                    frozenset(entry.get("accept") or ()),
                    bool(entry.get("keep")),
                    bool(entry.get("keep_offsets")),
                    self.document.at("removed", i),
                    frozenset(entry["drop"]) if entry.get("drop") is not None else None,
                    is_prefix,
                    bool(entry.get("hard")),
                )
            )
        return tuple(removals)

    def _read_removed_name(self, entry: Mapping[str, Any], number: int) -> tuple[Address, bool] | None:
        """Return what an entry is about, and whether it is about all whose names begin so."""
        for kind in KINDS.values():
            try:
                name = kind.language.read_removal(entry)
            except ValueError as e:
                self.report(codes.K269, "nothing can have this name", f"{kind.name}: {e}", ("removed", number))
                return None
            if name is not None:
                return Address(kind.name, name[0]), name[1]
        return None

    def _read_moves(self, data: Mapping[str, Any]) -> tuple[Move, ...]:
        moves = []
        for i, entry in enumerate(self.block(data.get("moved") or [], ("moved",)) or []):
            try:
                source, target = parse_address(str(entry["from"])), parse_address(str(entry["to"]))
            except ValueError as e:
                self.report(codes.K214, "this cannot be moved", str(e), ("moved", i))
                continue
            refusal = KINDS[source.kind].move_refusal or KINDS[target.kind].move_refusal
            if refusal is not None:
                reason, help = refusal
                self.report(codes.K214, "this cannot be moved", f"{source}: {reason}", ("moved", i), help)
                continue
            moves.append(Move(source, target, self.document.at("moved", i)))
        return tuple(moves)

    def _find_contradictions(self, removed: Sequence[Removal], moved: Sequence[Move]) -> None:
        for entry in removed:
            if (entry.is_prefix and any(map(entry.covers, self.resources))) or entry.address in self.resources:
                self.problems.append(
                    error(
                        codes.K222,
                        "declared and removed at once",
                        f"{entry.address}",
                        span=entry.span,
                        help="keep the block or the entry under `removed`, not both",
                    )
                )
        for move in moved:
            if move.target not in self.resources:
                self.problems.append(
                    error(
                        codes.K214,
                        "this cannot be moved",
                        f"{move.target} is declared nowhere",
                        span=move.span,
                        help="declare the connector under its new name",
                    )
                )
            if move.source in self.resources:
                self.problems.append(
                    error(
                        codes.K214,
                        "this cannot be moved",
                        f"{move.source} is still declared",
                        span=move.span,
                        help="remove the block of the old name",
                    )
                )
        targets = [move.target for move in moved] + [move.source for move in moved]
        if len(set(targets)) < len(targets):
            self.problems.append(
                error(
                    codes.K214,
                    "this cannot be moved",
                    "one name is in two moves",
                    span=moved[0].span,
                    help="apply one move after the other",
                )
            )


def _is_used(kind: Kind[Any], data: Mapping[str, Any]) -> bool:
    """Whether a stack has the kind's section, or one of its keys in a block of another section."""
    if data.get(kind.section):
        return True
    return any(
        isinstance(block, Mapping) and key in block
        for section, key in kind.extends
        for block in (data.get(section) or {}).values()
    )


def _count_attributes(resource: Resource) -> int:
    return len(comparison_of(resource.address).attributes(resource))


def list_env_sources(resource: Resource, env: Environment) -> set[str]:
    """Return the `KAFKA_TOPIC_*` variables that gave the resource a setting."""
    return {name for _, name in env.fills.values()} & set(resource.origin.sources.values())


def expand(document: Document, inputs: Inputs) -> tuple[Stack | None, list[Diagnostic]]:
    """Return what the stack declares, and every problem. The document meets its schema."""
    expansion = Expansion(
        document,
        inputs.environment,
        inputs.find_template,
        read_schema("stack.v1"),
        _count_attributes,
        read_file=inputs.read_file,
        inputs=inputs,
    )
    expansion.rights_of = lambda resource: KINDS[resource.kind].language.find_rights(resource, expansion)
    try:
        return expansion.run(), expansion.problems
    except TooMuch as e:
        help = "split the stack, or look for what multiplies: for_each with tables, templates of templates"
        problem = error(codes.K238, "the stack asks for too much", str(e), help=help, span=Span(document.path))
        return None, [*expansion.problems, *expansion.topics.problems, problem]

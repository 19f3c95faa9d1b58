"""Expand a stack file with its variables and environment: for_each, templates, tables and topics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.registry import KINDS, parse_address
from kplan.kinds.topic import collisions, internal
from kplan.kinds.topic.settings import BUILT_IN, Layer, Setting, layer, rules, stacked
from kplan.language import keys, variables
from kplan.language.source import Document
from kplan.language.template import Scope, TooMuch, is_template
from kplan.model import (
    STATE_TOPIC,
    Address,
    File,
    Guards,
    Move,
    Removal,
    Resource,
    Stack,
)
from kplan.project import environment as environments
from kplan.project import guard
from kplan.project.environment import Environment

STACK_NAME = re.compile(r"[a-z0-9-]{1,63}\Z")
EACH = re.compile(r"\beach\b")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hold all that a stack's expansion depends on in addition to its file. `find_template` loads one by name."""

    environment: Environment
    given: variables.Given = variables.Given()
    find_template: Callable[[str], tuple[Blueprint | None, Sequence[Diagnostic]]] = lambda name: (None, ())
    files: tuple[File, ...] = ()


@dataclass(slots=True)
class Expansion(ExpansionContext):
    """Expand one stack from a document to resources; `problems` grows."""

    inputs: Inputs = field(kw_only=True)

    # -- the parts ------------------------------------------------------------------------------------------------
    def run(self) -> Stack | None:
        data = self.document.data
        values, problems = variables.settle(self.document, self.inputs.given)
        self.problems += problems
        env = self.inputs.environment
        name_scope = values.scope(kplan={"env": env.name})
        name = self.value(data["stack"], ("stack",), name_scope)
        if not isinstance(name, str) or not STACK_NAME.match(name):
            if name is not None:
                self.report(codes.K212, "bad stack name", f"{name!r}", ("stack",), "1 to 63 of a-z, 0-9 and -")
            name = "unnamed"
        self.scope = values.scope(kplan={"env": env.name, "stack": name, "bootstrap": env.bootstrap})
        self.outer = self._read_defaults(data)
        for key in data.get("topics") or {}:
            self._add_topics(key)
        for key in data.get("connectors") or {}:
            self._add_connectors(key)
        for report_undeclared, topics in self.expected:
            report_undeclared(topics)
        self.problems += self.topics.problems
        guards = self._merge_guards(data, env)
        self._refuse_own_state(env)
        removed, moved = self._read_removals(data), self._read_moves(data)
        self._find_contradictions(removed, moved)
        self.problems += collisions.find_collisions(self.resources.values())
        self.problems += guard.check_guards(self.resources, guards, self.internal)
        if data.get("connectors"):
            self.problems += self._check_connectors()
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
        )

    def _refuse_own_state(self, env: Environment) -> None:
        """Report the topic of kplan's own state, which a stack cannot declare."""
        for name in {STATE_TOPIC, env.kafka_topic}:
            declared = self.resources.get(internal.state_address(name))
            if declared is not None:
                help = "remove it from the stack; one that owns it gives it up with its next apply, and the topic stays"
                self.problems.append(
                    error(
                        codes.K243,
                        "a stack cannot declare kplan's own state",
                        name,
                        span=declared.origin.span,
                        help=help,
                    )
                )

    def _check_connectors(self) -> Iterator[Diagnostic]:
        from kplan.kinds.connector import ineffective, sinks
        from kplan.kinds.connector.debezium import drops, incremental

        yield from sinks.warn_of_unfed(self.resources)
        yield from ineffective.problems(self.resources, self.internal)
        yield from incremental.problems(self.resources.values())
        yield from drops.problems(self.resources.values())

    def _read_defaults(self, data: Mapping[str, Any]) -> list[Layer]:
        stack_defaults = (self.block(data.get("defaults") or {}, ("defaults",)) or {}).get("topic") or {}
        env = self.inputs.environment
        spans = self.spans(("defaults", "topic"), (data.get("defaults") or {}).get("topic") or {})
        return [
            layer(stack_defaults, "stack defaults", spans),
            layer(env.defaults.get("topic") or {}, f"environment {env.name}", {}),
            {path: Setting(value.strip(), name) for path, (value, name) in env.fills.items()},
        ]

    def _add_topics(self, key: str) -> None:
        path: KEY = ("topics", key)
        block = self.document.data["topics"][key] or {}
        for scope in self._expand_for_each(block, path, key):
            name = self.value(key, path, scope)
            if name is None:
                continue
            rendered = self.block({k: v for k, v in block.items() if k != "for_each"}, path, scope)
            if rendered is None:
                continue
            written = self.written[str(name)] = layer(rendered, "topic", self.spans(path, block))
            span = self.document.key_at(*path)
            self.add(self.topics.topic(str(name), stacked([BUILT_IN, *self.outer, written]), span, "", rules(rendered)))

    def _expand_for_each(self, block: Mapping[str, Any], path: KEY, *names: Any) -> list[Scope]:
        """Return the scopes that `for_each` makes; without it the stack's own. `names` make the block's name."""
        if block.get("for_each") is None:
            return [self.scope]
        at = (*path, "for_each")
        self.problems += keys.glued(self.document, at, block["for_each"])
        items = self.value(block["for_each"], at)
        if isinstance(items, list):
            pairs = [(item, item) for item in items]
        elif isinstance(items, dict):
            pairs = list(items.items())
        else:
            if items is not None:
                self.report(codes.K220, "for_each takes a list or a map", f"got {type(items).__name__}", at)
            return []
        if len({str(key) for key, _ in pairs}) < len(pairs):
            self.report(codes.K220, "for_each names one thing twice", "each key makes one resource", at)
        elif len(pairs) > 1 and not any(is_template(name) and EACH.search(name) for name in names):
            detail = f"each of the {len(pairs)} items makes `{path[1]}`"
            help = f'put the item\'s key into the name: "{path[1]}.{{{{ each.key }}}}"'
            self.report(codes.K220, "for_each makes one name several times", detail, path, help, key=True)
            pairs = pairs[:1]
        return [self.scope.with_names(each={"key": key, "value": value}) for key, value in pairs]

    def _add_connectors(self, key: str) -> None:
        from kplan.kinds.connector.expansion import ConnectorBuilder

        path: KEY = ("connectors", key)
        block = self.document.data["connectors"][key] or {}
        for scope in self._expand_for_each(block, path, key, block.get("name"), block.get("client")):
            ConnectorBuilder(self, path, block, scope).build()

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
            kind = next(kind for kind in KINDS if kind in entry)
            if entry.get(kind) is None:
                continue
            removals.append(
                Removal(
                    Address(kind, str(entry[kind])),
                    frozenset(entry.get("accept") or ()),
                    bool(entry.get("keep")),
                    bool(entry.get("keep_offsets")),
                    self.document.at("removed", i),
                    frozenset(entry["drop"]) if entry.get("drop") is not None else None,
                )
            )
        return tuple(removals)

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
            if entry.address in self.resources:
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
                    "one name stands in two moves",
                    span=moved[0].span,
                    help="apply one move after the other",
                )
            )


def list_env_sources(resource: Resource, env: Environment) -> set[str]:
    """Return the `KAFKA_TOPIC_*` variables that gave the resource a setting."""
    return {name for _, name in env.fills.values()} & set(resource.origin.sources.values())


def expand(document: Document, inputs: Inputs) -> tuple[Stack | None, list[Diagnostic]]:
    """Return what the stack declares, and every problem. The document meets its schema."""
    expansion = Expansion(document, inputs.environment, inputs.find_template, inputs=inputs)
    try:
        return expansion.run(), expansion.problems
    except TooMuch as e:
        help = "split the stack, or look for what multiplies: for_each with tables, templates of templates"
        problem = error(codes.K238, "the stack asks for too much", str(e), help=help, span=Span(document.path))
        return None, [*expansion.problems, *expansion.topics.problems, problem]

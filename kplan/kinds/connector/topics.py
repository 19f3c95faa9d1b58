"""The topics of one connector: those of its tables, after its transforms, and those that it makes for itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error, warning
from kplan.kinds.connector.block import ConnectorBlock
from kplan.kinds.connector.debezium.engines import ENGINES
from kplan.kinds.connector.defaults import TableDefaults
from kplan.kinds.connector.routing import Lost, Routing
from kplan.kinds.connector.shorthands import find_place
from kplan.kinds.connector.tables import Table, describes_topic, include_list, is_pattern, split, unescape_name
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.topic.classes import find_own_layer, find_own_rules
from kplan.kinds.topic.settings import BUILT_IN, Layer, layer, only, stack_layers
from kplan.language.template import Scope, topic_name
from kplan.model import Address, Rules, Text, Topic
from kplan.patterns import late_pattern
from kplan.values import dataclass

BESIDE_CONNECT = ("history", "signals")  # roles of topics that the connector reads or writes itself: no transform
ONE_PARTITION = ("history", "signals")  # roles of topics whose other partitions nobody reads
DEBEZIUM = late_pattern(r"io\.debezium\.connector\.(\w+)\.\w+Connector\Z")
OF_TABLES = ("topic.", "database.names")  # settings that the names of tables' topics are made of
EVERY_TABLE = "those of every table"
SHOWN = 5  # names in one warning


@dataclass(slots=True)
class Feeds:
    """Declares the topics of the connector that `of` builds. `names` are all of them, also those of somebody else."""

    of: ConnectorBlock
    routing: Routing
    names: dict[str, None] = field(default_factory=dict)
    heartbeat: str = ""

    @property
    def expansion(self) -> ExpansionContext:
        return self.of.expansion

    def declare(self, own: Mapping[str, Any], tables: Sequence[Table], scope: Scope) -> None:
        """Declares every topic that the connector writes or reads for itself."""
        defaults = TableDefaults(self.of, own)
        declared = {name: (settings, at) for name, settings, at in self.of.entries("topics", own, self.of.scope)}
        lost = self._topics_of_tables(tables, declared, defaults, for_tables(scope))
        self._internal_topics(declared, scope)
        if not declared:
            self._cannot_follow(lost, any(not table.settings.get("topic") for table in tables))
        for name, (settings, at) in declared.items():
            self.names[name] = None
            span, note = self.expansion.document.key_at(*at), f"of connector/{self.of.full_name}"
            above = [BUILT_IN, self.of.defaults(), *self.expansion.outer, *defaults.list_layers()]
            layers = [*above, self._own_layer("topic", settings, at)]
            self.expansion.add(
                self.expansion.topics.topic(name, stack_layers(layers), span, note, self._own_rules(settings, at))
            )

    def _topics_of_tables(
        self,
        tables: Sequence[Table],
        declared: dict[str, tuple[Mapping[str, Any], KEY]],
        defaults: TableDefaults,
        scope: Scope,
    ) -> Iterable[Lost]:
        """Declares each table's topic, and gives what keeps some from being told.

        What the connector's `topics:` says of one counts for it, and is taken out.
        """
        shared: dict[str, list[Table]] = {}
        lost: dict[str, Lost] = {}
        for table in tables:
            if table.is_pattern:
                continue
            before, after = self._topic_of(table, scope, lost)
            if not after:
                continue
            self.names[after] = None
            if table.settings.get("ignore_topic"):
                continue
            if after in shared and (before != after or table.settings.get("topic")):
                self._share(shared[after], table, after, defaults)
            else:
                shared.setdefault(after, [table])
                self._topic_of_table(after, table, defaults, *declared.pop(after, ({}, ())))
        defaults.report_unmatched()
        return lost.values()

    def _topic_of(self, table: Table, scope: Scope, lost: dict[str, Lost]) -> tuple[str, str]:
        """Return the table's topic before and after the connector's transforms; none where that is not known."""
        if table.settings.get("topic"):
            return "", str(table.settings["topic"])
        name = self._topic_name(table.written, table.name, table.at, scope)
        try:
            return name, self.routing.topic(name)
        except Lost as problem:
            lost.setdefault(problem.key, problem)
            return name, ""

    def _topic_name(self, written: str, name: str, at: KEY, scope: Scope) -> str:
        inner = scope.with_names(table=written, name=name)
        return topic_name(self.of.own_text(self.of.template.table["topic"], inner, at) or "")

    def _share(self, tables: list[Table], table: Table, topic: str, defaults: TableDefaults) -> None:
        """Report several tables that go to one topic, which one of them at most may describe."""
        if describes_topic(table.settings) and any(describes_topic(each.settings) for each in tables):
            other = next(each.name for each in tables if describes_topic(each.settings))
            detail = f"topic {topic}, by tables {other} and {table.name}"
            help = "a transform sends both there: say it once, under the connector's `topics:`"
            self.expansion.report(codes.K211, "declared twice", detail, table.at, help)
        elif describes_topic(table.settings):
            self._topic_of_table(topic, table, defaults, {}, (), again=True)
        tables.append(table)

    def _topic_of_table(
        self,
        topic: str,
        table: Table,
        defaults: TableDefaults,
        settings: Mapping[str, Any],
        at: KEY,
        *,
        again: bool = False,
    ) -> None:
        own = [*defaults.list_layers(table), self._own_layer("table", table.settings, table.at)]
        if at:
            own.append(self._own_layer("topic", settings, at))
        layers = stack_layers([BUILT_IN, self.of.defaults(), *self.expansion.outer, *own])
        span = self._place(table.at)
        note = f"for table {table.name} of connector/{self.of.full_name}"
        made = self.expansion.topics.topic(
            topic, layers, span, note, self._own_rules({**table.settings, **settings}, at or table.at)
        )
        if again:
            self.expansion.resources[made.address] = made
        else:
            self.expansion.add(made)

    def _own_rules(self, settings: Mapping[str, Any], at: KEY) -> Rules:
        return find_own_rules(self.expansion, settings, at)

    def _own_layer(self, source: str, settings: Mapping[str, Any], at: KEY) -> Layer:
        return find_own_layer(self.expansion, source, settings, at)

    def _place(self, at: KEY) -> Span:
        return self.expansion.document.key_at(*at) if isinstance(at[-1], str) else self.expansion.document.at(*at)

    def _cannot_follow(self, lost: Iterable[Lost], guessed: bool) -> None:
        """Report that something else decides the topic, so the stack has to name the topics; `guessed`: kplan named
        some.
        """
        name = f"connector/{self.of.full_name}"
        help = "name the topics under the connector's `topics:`, or a table's with `topic:`"
        for problem in lost:
            found = error(codes.K227, "a transform decides the topic", f"{name}, {problem.key}: {problem}", help=help)
            self._report(found, problem.key)
        for key, java_class in self.routing.strange.items() if guessed else ():
            detail = f"{name}, {key}: kplan does not know what {java_class} does to the topic"
            found = warning(codes.K227, "a transform may decide the topic", detail, help=f"if it does, {help}")
            self._report(found, key)

    def _report(self, problem: Diagnostic, key: str = "") -> None:
        """Reports it at the property `key`, at the connector where that is not in its block."""
        at = (*self.of.path, *find_place(self.of.block, key))
        span = self.expansion.document.key_at(*at)
        self.expansion.problems.append(replace(problem, span=span, address=f"connector/{self.of.full_name}"))

    def _internal_topics(self, declared: dict[str, tuple[Mapping[str, Any], KEY]], scope: Scope) -> None:
        """Declares the topics that the template itself needs; from outside only replicas reach them."""
        own_tables = set(self.names)
        for name, role, settings in self._internal(self.of.template, scope):
            if role == "heartbeat":
                self.heartbeat = name
            if name in own_tables:
                if role != "signal table":
                    self._warn_mixed(name, role)
                continue
            self.names[name] = None
            self.expansion.internal.add(name)
            said, at = declared.pop(name, ({}, ()))
            self._internal_topic(name, role, settings, said, at)

    def _internal(self, template: Blueprint, scope: Scope) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Name, role and settings of each topic that the connector makes for itself."""
        for key, settings in template.topics.items():
            role = str(settings.get("role", "internal"))
            rendered = self.of.own_text(key, scope, self.of.path)
            for name in rendered if isinstance(rendered, list) else [rendered]:
                routed = self._route_name(str(name), role) if name else ""
                if routed:
                    yield routed, role, settings

    def _route_name(self, name: str, role: str) -> str:
        """Return the topic after the transforms; none where that is not known, which is said for the tables."""
        if role in BESIDE_CONNECT:
            return name
        try:
            return self.routing.topic(topic_name(name), change=role == "signal table")
        except Lost:
            return ""

    def _internal_topic(
        self, name: str, role: str, settings: Mapping[str, Any], said: Mapping[str, Any], at: KEY
    ) -> None:
        outside = stack_layers([self.of.defaults(), *self.expansion.outer])
        layers = [BUILT_IN, only(outside), layer(settings, f"template {self.of.template.name}", {})]
        other = self.expansion.resources.get(Address("topic", name))
        by_stack = self.expansion.written.get(name)
        if other is not None and by_stack is None:
            return  # another connector's as well, such as a topic of signals
        if by_stack is not None:  # the stack may say itself how it wants it
            layers.append(by_stack)
        if at:
            layers.append(self._own_layer("topic", said, at))
        place = self.expansion.document.key_at(*(at or self.of.path))
        span, its_rules = (other.origin.span, other.rules) if other is not None else (place, self._own_rules(said, at))
        note = f"{role} of connector/{self.of.full_name}"
        topic = self.expansion.topics.topic(name, stack_layers(layers), span, note, its_rules)
        self._safe(topic, role)
        if other is None or at:
            self.expansion.add(topic)
        else:
            self.expansion.resources[topic.address] = topic

    def _safe(self, topic: Topic, role: str) -> None:
        """Reports what would lose a schema history, or signals: Debezium reads partition 0 alone, from the start."""
        found = []
        if role in ONE_PARTITION and topic.partitions != 1:
            found.append(("/partitions", f"it has {topic.partitions} partitions, and only the first one is read"))
        if role == "history":
            for key, keeps in (("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")):
                if topic.config.get(key) != keeps:
                    found.append((f"/config/{key}", f"{key} is {topic.config.get(key, 'unset')}, not {keeps}"))
        for path, what in found:
            self.expansion.problems.append(
                error(
                    codes.K229,
                    "a connector's own topic would lose what the connector needs",
                    f"{role} {topic.name}: {what}",
                    span=topic.origin.at(path),
                    address=topic.address,
                    path=path,
                    help="leave it to the template",
                )
            )

    def _warn_mixed(self, name: str, role: str) -> None:
        detail = f"connector/{self.of.full_name}: the {role} topic becomes {name}, too"
        help = "let its regular expression match the tables' topics alone, or give it a predicate"
        self._report(
            warning(codes.K227, "a transform sends more to a table's topic than its changes", detail, help=help)
        )

    # -- what Debezium would write besides --------------------------------------------------------------------------
    def expect(self, own: Mapping[str, Any], tables: Sequence[Table], config: Mapping[str, Text], scope: Scope) -> None:
        """Notes the topics that Debezium would write to, to be told where nothing declares them."""
        template = self.of.template if self.of.template.name else self.known_class(config)
        if template is None or "list" not in template.table:
            return
        if own.get("tables") and not tables:
            return  # what is wrong with them is told
        expected: dict[str, None] = {}
        listed = config.get(template.table["list"])
        entries = split(listed) if isinstance(listed, str) else []
        known = {each for table in tables if "captured" not in template.table for each in include_list([table], ())}
        patterns = [] if entries else [EVERY_TABLE.removeprefix("those of ")]
        for entry in entries:
            name = unescape_name(entry)
            if entry in known:
                continue
            if is_pattern(name):
                patterns.append(entry)
            else:
                expected |= dict.fromkeys(self._find_captured(template, name, scope))
        if not self.of.template.name:
            internal = {name: role for name, role, _ in self._internal(template, scope)}
            expected |= dict.fromkeys(internal)
            beats = [name for name, role in internal.items() if role == "heartbeat"]
            # one that nothing declares may not be there: nobody waits for it
            self.heartbeat = next((name for name in beats if Address("topic", name) in self.expansion.resources), "")
            there = [name for name in expected if Address("topic", name) in self.expansion.resources]
            self.names |= dict.fromkeys(there)
        told = any(table.is_pattern for table in tables)  # K216
        if patterns and not told and not self.of.block.get("topics"):
            self._warn_undeclared([f"those of {pattern}" for pattern in patterns])
        undeclared = [name for name in expected if name not in self.names]
        self.expansion.undeclared[self.of.full_name] = undeclared
        self.expansion.expected.append((self.tell_undeclared, undeclared))

    def known_class(self, config: Mapping[str, Text]) -> Blueprint | None:
        """Return the built-in template of a connector that is written without one."""
        java_class = config.get("connector.class")
        match = DEBEZIUM.match(java_class) if isinstance(java_class, str) else None
        if match is None or "topic.prefix" not in config:
            return None
        engine = ENGINES.get(match[0])
        template, _ = self.expansion.find(engine.template if engine is not None else f"debezium-{match[1]}")
        return template if template is not None and template.java_class == java_class else None

    def _find_captured(self, template: Blueprint, include: str, scope: Scope) -> Iterator[str]:
        """Yield the topics that an entry of the include list fills."""
        names, scope = [include], for_tables(scope)
        if "captured" in template.table:
            names = self.of.own_text(template.table["captured"], scope.with_names(include=include), self.of.path) or []
        for name in names:
            text = template.table["topic"]
            topic = topic_name(self.of.own_text(text, scope.with_names(table=include, name=name), self.of.path))
            try:
                yield self.routing.topic(topic)
            except Lost:
                return  # told already, or the stack names the topics

    def _warn_undeclared(self, topics: Sequence[str]) -> None:
        more = f" and {len(topics) - SHOWN:,} more" if len(topics) > SHOWN else ""
        detail = f"connector/{self.of.full_name}: {', '.join(topics[:SHOWN])}{more}"
        help = (
            "list the tables under `tables:` or the topics under `topics:`; where brokers create no topics by "
            "themselves, the connector waits without an error"
        )
        if EVERY_TABLE in topics and "tables" not in self.of.block:
            help = f"without `tables:` it captures every table of the database: is that meant? Otherwise {help}"
        self._report(warning(codes.K226, "a connector writes to topics that nothing here declares", detail, help=help))

    def tell_undeclared(self, topics: Iterable[str]) -> None:
        """Warn of those of `topics` that are declared nowhere in the stack."""
        missing = [name for name in topics if Address("topic", name) not in self.expansion.resources]
        if missing:
            self._warn_undeclared(missing)


def for_tables(scope: Scope) -> Scope:
    """Return the scope with what a table's topic depends on: it is read for each of them."""
    config = {key: value for key, value in scope.names["config"].items() if key.startswith(OF_TABLES)}
    return scope.with_names(config=config)

"""Compose one stack that declares exactly the given resources, with common settings as defaults."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, Final

from kplan.diagnostics import codes
from kplan.importers.access import add_access, list_legends
from kplan.importers.connector_block import (
    RAW,
    WITH_TABLES,
    BlockExpander,
    ImportedConnector,
    UnfitTemplate,
    choose_free_name,
    declare_variables,
    table_of,
    to_identifier,
    write_block,
)
from kplan.importers.legacy import list_outdated_names, modernize_connector, modernize_transforms
from kplan.importers.loops import fold_loops
from kplan.importers.parts import write_rules
from kplan.importers.resources import ImportedResources
from kplan.importers.sharing import share_connector_settings
from kplan.importers.writing import to_topic_setting, wrap_comment, write_notes, write_stack
from kplan.kinds.connector.debezium.engines import table_names_of
from kplan.kinds.connector.exclusive import claim
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.settings import FROM_OUTSIDE, Builder, layer
from kplan.model import Address, Connector, Resource, Rules, Secret, Stack, Topic
from kplan.planning.comparison import compare
from kplan.values import dataclass

ONLY_REPLICAS: Final = frozenset(FROM_OUTSIDE)  # the only settings that defaults give a connector's own topics
HISTORY_SETTINGS: Final = (
    "/config/cleanup.policy",
    "/config/retention.ms",
    "/config/retention.bytes",
)  # no stack may change them
TOPIC_ATTRIBUTES: Final = ("/partitions", "/replication_factor")
NO_DEFAULT: Final = object()
_ROLE: Final = re.compile(r"(\w[\w -]*?) of connector/")


@dataclass(frozen=True, slots=True)
class ImportedStack:
    """The stack's text, and the numbers of what it holds. `notes` are what it does not declare and why."""

    text: str
    counts: Mapping[str, int]  # of the resources that the stack declares, by kind
    templates: int
    variables: tuple[str, ...]
    notes: tuple[str, ...]


def compose_stack(
    imported: ImportedResources,
    free: Mapping[str, Topic],
    name: str,
    expander: BlockExpander,
    *,
    live: bool,
    others: Iterable[Connector] = (),
    comments: Iterable[str] = (),
) -> ImportedStack:
    """Compose the stack of `imported`. `free` are all topics that a connector's block may declare.

    With `live` only what exists may be declared: the stack is to be adopted, not to change anything. `others` are
    connectors that are not imported.
    """
    composition = _Composition(imported, dict(free), name, expander, live, tuple(others))
    data, access_notes = add_access(composition.compose(), imported, expander)
    data = share_connector_settings(fold_loops(data, imported.loops, expander), expander)
    notes = tuple(dict.fromkeys([*map(str, imported.notes), *composition.notes, *composition.missing, *access_notes]))
    introduction = " ".join([*comments, *_list_conventions(composition.connector_blocks.values())])
    head = [*(wrap_comment(introduction) if introduction else ()), *list_legends(data), *write_notes(notes)]
    stack = expander.expand(data)[0]
    return ImportedStack(
        write_stack(data, head),
        Counter(address.kind for address in stack.resources) if stack else {},
        sum(block.blueprint is not None for block in composition.connector_blocks.values()),
        tuple(variable["env"] for variable in data.get("variables", {}).values()),
        notes,
    )


def _list_conventions(blocks: Iterable[ImportedConnector]) -> Iterator[str]:
    """Yield what a reader of the file must know about how connectors are written."""
    blocks_with_config = [(each, each.block.get("config") or {}) for each in blocks if each.blueprint]
    if any(None in config.values() for _, config in blocks_with_config):
        yield "A setting that is null is one that the template has and the connector has not."
    if any(
        each.tables and each.blueprint and each.blueprint.table.get("list") in config
        for each, config in blocks_with_config
    ):
        yield "A list of tables under `config:` is kept as it was written, and wins over `tables:`. Take it out before"
        yield "you add a table: the list is made of `tables:` then, each dot as `\\.`, and the connector restarts once."


@dataclass(slots=True)
class _TopicPlace:
    """Where a topic's own settings are in the stack's data."""

    path: tuple[str, ...]
    connector: str = ""
    role: str = ""  # of a topic that only its template declares


@dataclass(slots=True)
class _Composition:
    imported: ImportedResources
    free: dict[str, Topic]
    name: str
    expander: BlockExpander
    live: bool
    others: tuple[Connector, ...] = ()
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # notes of this attempt alone
    topics: dict[str, Topic] = field(default_factory=dict)  # that the stack declares
    connector_blocks: dict[str, ImportedConnector] = field(default_factory=dict)
    refs: dict[str, dict[str, str]] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    blocks_by_level: dict[tuple[str, int], ImportedConnector] = field(default_factory=dict)
    undeclarable: set[str] = field(default_factory=set)  # names of topics that no stack can declare

    def compose(self) -> dict[str, Any]:
        """Return the stack's data. What it makes is compared with `imported` and is the same."""
        self._remove_undeclarable()
        self._modernize_connectors()
        self.refs = name_secrets(self.imported.connectors)
        self.levels = dict.fromkeys(self.imported.connectors, WITH_TABLES)
        self._separate_sharing()
        for _ in range(3 * len(self.imported.connectors) + len(self.free) + 3):
            data, again = self._try_to_compose()
            if not again:
                return data
        raise AssertionError("every attempt takes something away")

    # -- what can be declared at all ----------------------------------------------------------------------------------
    def _remove_undeclarable(self) -> None:
        """Remove what a stack cannot declare of topics; note it."""
        for topics in (self.imported.topics, self.free):
            for name, topic in list(topics.items()):
                topics[name] = self._make_declarable(topic, noted=topics is self.imported.topics)
        for name in list(self.imported.topics):
            if problem := catalog.check_name(name):
                self.imported.topics.pop(name)
                self.notes.append(f"topic {name!r}: {problem}")

    def _make_declarable(self, topic: Topic, *, noted: bool) -> Topic:
        """Return the topic without configs that a stack cannot declare; with `noted` each is noted."""
        config = (
            dict(topic.config)
            if self.live
            else {key: _to_stored_value(key, value) for key, value in topic.config.items()}
        )
        for _ in range(len(config) + 1):
            builder = Builder()
            attributes = {
                "partitions": topic.partitions,
                "replication_factor": topic.replication_factor,
                "config": config,
            }
            builder.topic(topic.name, layer(attributes, "topic", {}), None, "", Rules())
            problems = {
                "min.insync.replicas" if p.code == codes.K111.number else p.path.removeprefix("/config/"): p
                for p in builder.problems
                if p.code == codes.K111.number or p.path.startswith("/config/")
            }
            if not problems.keys() & config.keys():
                break
            for key in sorted(problems.keys() & config.keys()):
                config.pop(key)
                if noted:
                    consequence = "it is left alone" if self.live else "it is left out"
                    self.notes.append(
                        f"{topic.address}: {key} ({problems[key].code} {problems[key].summary}); {consequence}"
                    )
        return replace(topic, config=config)

    def _modernize_connectors(self) -> None:
        """Give connectors of files the current names; a live one keeps its names, which is noted."""
        for name, connector in self.imported.connectors.items():
            blueprint = self.expander.templates.get(connector.java_class)
            if blueprint and self.live:
                self.notes += [
                    f"{connector.address}: {old}; it is kept" for old in list_outdated_names(connector, blueprint)
                ]
            elif blueprint:
                self.imported.connectors[name] = modernize_connector(connector, blueprint, self.notes.append)
            if not self.live:
                self.imported.connectors[name] = modernize_transforms(self.imported.connectors[name], self.notes.append)

    def _separate_sharing(self) -> None:
        """Write connectors without a template where they share what only one with a template may have."""
        owners: dict[tuple[str, str], list[Connector]] = {}
        for connector in (*self.others, *self.imported.connectors.values()):
            for key, value in connector.config.items():
                if isinstance(value, str):
                    owners.setdefault((key, value), []).append(connector)
        for name, connector in self.imported.connectors.items():
            blueprint = self.expander.templates.get(connector.java_class)
            for key in blueprint.unique if blueprint else ():
                if (own_claim := claim(connector, key)) is None:
                    continue
                claims = {other.name: claim(other, key) for other in owners[key, own_claim.value] if other.name != name}
                sharing = [
                    other for other, other_claim in claims.items() if other_claim and own_claim.clashes(other_claim)
                ]
                if sharing and self.levels[name] < RAW:
                    self._reduce_template(
                        name, f"it shares {key} with connector/{min(sharing)}, which one alone may have", RAW
                    )

    # -- one attempt --------------------------------------------------------------------------------------------------
    def _try_to_compose(self) -> tuple[dict[str, Any], bool]:
        """Return the stack's data as far as it goes, and whether to try again with less."""
        self.connector_blocks, self.missing = {}, []
        for name in list(self.imported.connectors):
            if not self._write_block(name):
                return {}, True
        self.topics = {name: topic for name, topic in self.imported.topics.items() if name not in self.undeclarable}
        blocks = {name: _copy(each.block) for name, each in self.connector_blocks.items()}
        places, again = self._locate_topics(blocks)
        if again:
            return {}, True
        data = self._add_settings(blocks, places)
        return data, self._remove_wrong(data, places)

    def _write_block(self, name: str) -> bool:
        """Write the connector's block; return False where that failed and less of it is to be tried."""
        connector, level = self.imported.connectors[name], self.levels[name]
        try:
            if (name, level) not in self.blocks_by_level:
                self.blocks_by_level[name, level] = write_block(connector, self.refs[name], level, self.expander)
            self.connector_blocks[name] = self.blocks_by_level[name, level]
        except UnfitTemplate as failure:
            if self.levels[name] < RAW and connector.java_class in self.expander.templates:
                self._reduce_template(name, str(failure))
            else:
                self.imported.connectors.pop(name)
                self.notes.append(f"connector/{name} is left out: {failure}")
            return False
        return True

    def _reduce_template(self, name: str, reason: str, level: int = WITH_TABLES) -> None:
        """Write the connector with less of its template from now on; at `level` at most."""
        self.levels[name] = min(max(self.levels[name] + 1, level), RAW)
        how = "without a template" if self.levels[name] == RAW else "with its list of tables under `config:`"
        self.notes = [note for note in self.notes if not note.startswith(f"connector/{name} is written ")]
        self.notes.append(f"connector/{name} is written {how}: {reason}")

    def _make_base(self, blocks: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
        """Return the data of a stack with its variables and the connectors of `blocks`."""
        data: dict[str, Any] = {"version": 1, "stack": self.name}
        refs = [ref for name in self.connector_blocks for ref in self.refs[name].values()]
        if refs:
            # the names of an only connector's variables do not repeat its name
            owner = to_identifier(next(iter(self.refs))) if len(self.refs) == 1 else ""
            data["variables"] = declare_variables(refs, owner)
        data |= {key: value for key, value in sections.items() if value}
        if blocks:
            data["connectors"] = dict(sorted(blocks.items()))
        return data

    def _locate_topics(self, blocks: dict[str, Any]) -> tuple[dict[str, _TopicPlace], bool]:
        """Return where each topic is declared, and whether to try again; mark tables without a topic in `blocks`."""
        for name, connector_block in self.connector_blocks.items():
            extra: dict[str, Any] = {topic: {} for topic in self._find_other_topics(name, connector_block)}
            if extra:
                blocks[name]["topics"] = extra
        stack, _ = self.expander.expand(self._make_base(blocks))
        places: dict[str, _TopicPlace] = {}
        again = False
        for resource in stack.resources.values() if stack else ():
            if not isinstance(resource, Topic):
                continue
            connector = resource.origin.note.rpartition(" connector/")[2]
            place = _TopicPlace((), connector, _role_of(resource.origin.note))
            table = table_of(resource.origin.note)
            table_key = self.connector_blocks[connector].tables.get(table, "")
            existing = self.free.get(resource.name) if resource.name not in self.undeclarable else None
            if existing is None and self.live:
                if not table_key:
                    reason = f"its template would make topic {resource.name}, which is not there, or not free"
                    self._reduce_template(connector, reason, RAW)
                    again = True
                    continue
                blocks[connector]["tables"][table_key] = {"ignore_topic": True}
                detail = f"topic {resource.name} of its table {table} is not there, or not free"
                self.missing.append(f"connector/{connector}: {detail}: `ignore_topic`")
                continue
            kind = "tables" if table_key else "topics"
            place.path = ("connectors", connector, kind, table_key or resource.name)
            places[resource.name] = place
            if existing is not None:
                self.topics[resource.name] = existing
        for name in self.topics:
            places.setdefault(name, _TopicPlace(("topics", name)))
        return places, again

    def _find_other_topics(self, name: str, connector_block: ImportedConnector) -> Iterator[str]:
        """Yield the topics that the connector fills when its tables are not known one by one."""
        if connector_block.blueprint is None or connector_block.tables:
            return
        config = {k: v for k, v in self.imported.connectors[name].config.items() if isinstance(v, str)}
        prefix = config.get("topic.prefix", "") + config.get("topic.delimiter", ".")
        part_count = table_names_of(connector_block.blueprint.name).parts
        table_list = config.get(connector_block.blueprint.table.get("list", ""), "")
        for topic in sorted(self.free):
            table = topic.removeprefix(prefix)
            if topic.startswith(prefix) and table.count(".") == part_count - 1 and _is_listed(table, table_list):
                yield topic

    # -- settings -----------------------------------------------------------------------------------------------------
    def _add_settings(self, blocks: dict[str, Any], places: Mapping[str, _TopicPlace]) -> dict[str, Any]:
        """Return the data with defaults, and at each topic what differs from them."""
        topics: dict[str, Any] = {name: {} for name, place in sorted(places.items()) if place.path[0] == "topics"}
        stack_without_defaults, _ = self.expander.expand(self._make_base(blocks, topics=topics))
        defaults = self._choose_defaults(_topics_of(stack_without_defaults), places)
        stack_with_defaults, _ = self.expander.expand(self._make_base(blocks, defaults=defaults, topics=topics))
        inherited = _topics_of(stack_with_defaults)
        data = self._make_base(blocks, defaults=defaults, topics=topics)
        for name, topic in self.topics.items():
            own = self._own_settings(topic, inherited.get(name), places[name])
            own |= write_rules(topic.rules)
            if own:
                _put_settings(data, places[name].path, own)
        return data

    def _choose_defaults(
        self, without_defaults: Mapping[str, Topic], places: Mapping[str, _TopicPlace]
    ) -> dict[str, Any]:
        """Return what most topics have in common, where a default is shorter."""
        rows = [(flatten_topic(topic), flatten_topic(without_defaults[name]))
                for name, topic in sorted(self.topics.items())
                if name in without_defaults and not places[name].role]  # fmt: skip
        defaults: dict[str, Any] = {}
        paths = {path for row in rows for each in row for path in each}
        for path in sorted(paths - _list_explicit_paths(self.expander)):
            value = _choose_default(path, rows)
            if value is not NO_DEFAULT:
                defaults[path] = value
        return {"topic": nest_settings(defaults)} if defaults else {}

    def _own_settings(self, topic: Topic, inherited: Topic | None, place: _TopicPlace) -> dict[str, Any]:
        """Return the settings that the topic declares itself."""
        expected, existing = flatten_topic(topic), flatten_topic(inherited) if inherited else {}
        explicit = _list_explicit_paths(self.expander) & (ONLY_REPLICAS if place.role else expected.keys())
        own = {path: expected.get(path) for path in sorted(expected.keys() | existing.keys())
               if not _is_same(path, expected.get(path), existing.get(path))
               or (path in explicit and path in expected)}  # fmt: skip
        if place.role == "history" and self.live:
            ignored = [path for path in own if path in HISTORY_SETTINGS]
            settings = nest_settings({path: value for path, value in own.items() if path not in ignored})
            return {**settings, "ignore": [path.removeprefix("/config/") for path in ignored]} if ignored else settings
        return nest_settings(own)

    # -- what still is wrong ------------------------------------------------------------------------------------------
    def _remove_wrong(self, data: Mapping[str, Any], places: Mapping[str, _TopicPlace]) -> bool:
        """Take away what the stack would declare differently; return whether something was taken away."""
        stack, problems = self.expander.expand(data)
        reasons: dict[str, str] = {}
        for problem in problems:
            if problem.is_error:
                reasons.setdefault(problem.address, f"{problem.code} {problem.summary}")
        resources = stack.resources if stack else {}
        for address, live in self._expected_resources():
            declared = resources.get(address)
            if declared is None:
                reasons.setdefault(str(address), "the stack would not declare it")
            elif diffs := compare(declared, live, None).diffs:
                reasons.setdefault(str(address), f"the stack would change {', '.join(d.key for d in diffs)}")
        if not reasons:
            return False
        before = (dict(self.levels), set(self.undeclarable), dict(self.imported.connectors))
        for name, reason in reasons.items():
            self._take_away(name, reason, places)
        if before == (self.levels, self.undeclarable, self.imported.connectors):
            self.notes += [f"{name or 'the stack'}: {why}" for name, why in reasons.items()]
            return False
        return True

    def _expected_resources(self) -> Iterator[tuple[Address, Resource]]:
        """Yield the resources that the stack should declare, by address."""
        yield from ((topic.address, topic) for topic in self.topics.values())
        for name in self.connector_blocks:
            yield self.imported.connectors[name].address, self.imported.connectors[name]

    def _take_away(self, address: str, reason: str, places: Mapping[str, _TopicPlace]) -> None:
        """Leave out the resource, or write its connector with less of a template."""
        kind, _, name = address.partition("/")
        if kind == "topic" and name in places:
            if places[name].connector and self.levels[places[name].connector] < RAW:
                self._reduce_template(places[name].connector, f"{address}: {reason}")
            else:
                self.undeclarable.add(name)
                self.notes.append(f"{address} is left out: {reason}")
        elif kind == "connector" and name in self.connector_blocks:
            if self.connector_blocks[name].level < RAW:
                self._reduce_template(name, reason)
            else:
                self.imported.connectors.pop(name)
                self.notes.append(f"{address} is left out: {reason}")


def _to_stored_value(key: str, value: str) -> str:
    """Return a file's setting as Kafka stores it, where kplan knows it: `7d` is 604800000."""
    try:
        return catalog.parse(key, value)
    except ValueError:
        return value


def _copy(value: Any) -> Any:
    return {key: _copy(child) for key, child in value.items()} if isinstance(value, dict) else value


def _role_of(note: str) -> str:
    """Return what a connector uses the topic for, where only its template declares it."""
    match = _ROLE.match(note)
    return match[1] if match and not note.startswith("for table ") else ""


def _is_listed(table: str, patterns: str) -> bool:
    """Return whether a list of patterns has the table; without a list all are captured."""
    if not patterns:
        return True
    try:
        return any(re.fullmatch(pattern.strip(), table) for pattern in patterns.split(","))
    except re.error:
        return False


def _list_explicit_paths(expander: BlockExpander) -> frozenset[str]:
    """Return the paths of the environment's defaults: topics repeat them, as environments differ."""
    defaults = layer(expander.environment.defaults.get("topic") or {}, "", {})
    return frozenset(defaults) | frozenset(expander.environment.fills)


def _topics_of(stack: Stack | None) -> dict[str, Topic]:
    return {r.name: r for r in stack.resources.values() if isinstance(r, Topic)} if stack else {}


def flatten_topic(topic: Topic) -> dict[str, Any]:
    """Return a topic's settings by their paths."""
    attributes: dict[str, Any] = {"/partitions": topic.partitions, "/replication_factor": topic.replication_factor}
    return attributes | {f"/config/{key}": value for key, value in topic.config.items()}


def nest_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by their paths as a block of a stack."""
    block = {path[1:]: settings[path] for path in TOPIC_ATTRIBUTES if path in settings}
    config = {path.removeprefix("/config/"): value for path, value in settings.items() if path.startswith("/config/")}
    if config:
        block["config"] = {
            key: None if value is None else to_topic_setting(key, value) for key, value in sorted(config.items())
        }
    return block


def _is_same(path: str, expected: Any, existing: Any) -> bool:
    if expected == existing:
        return True
    are_configs = path.startswith("/config/") and expected is not None and existing is not None
    return are_configs and catalog.same(path.removeprefix("/config/"), expected, existing)


def _choose_default(path: str, rows: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Any:
    """Return the default that leaves the fewest topics with a value of their own; NO_DEFAULT where none helps."""
    pairs = [(expected.get(path), inherited.get(path)) for expected, inherited in rows]
    own_count = sum(not _is_same(path, want, under) for want, under in pairs)
    has_inherited = any(under is not None for _, under in pairs)  # so that a default of null says something
    values = Counter(want for want, _ in pairs if want is not None or has_inherited)
    best, cost = NO_DEFAULT, own_count
    for value, count in sorted(values.items(), key=lambda item: str(item[0])):
        if len(pairs) - count + 1 < cost:
            best, cost = value, len(pairs) - count + 1
    return best


def _put_settings(data: dict[str, Any], path: tuple[str, ...], own: dict[str, Any]) -> None:
    inner: Any = data
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = {**(inner.get(path[-1]) or {}), **own}


def name_secrets(connectors: Mapping[str, Connector]) -> dict[str, dict[str, str]]:
    """Return a variable's name for each secret: its key where one connector has it, or several share the value; else
    with its owner."""
    owners: dict[tuple[str, str], list[str]] = {}
    for name, connector in sorted(connectors.items()):
        for key in connector.secrets:
            value = connector.config[key]
            assert isinstance(value, Secret)
            owners.setdefault((key, value.value or value.ref or f"{name} {key}"), []).append(name)
    refs: dict[str, dict[str, str]] = {name: {} for name in connectors}
    taken: set[str] = set()
    for (key, _), names in owners.items():
        is_short = len(names) > 1 or len(connectors) == 1
        ref = choose_free_name(to_identifier(key if is_short else f"{names[0]}_{key}"), taken)
        for name in names:
            refs[name][key] = ref
    return refs

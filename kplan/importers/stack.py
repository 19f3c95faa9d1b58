"""Topics and connectors become one stack that declares exactly them, with what is common said once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kplan.diagnostics import codes
from kplan.importers.folding import RAW, WITH_TABLES, Fold, Unfit, Workshop, fold, table_of, variables
from kplan.importers.found import Found
from kplan.importers.legacy import modern, modern_transforms, outdated
from kplan.importers.writing import text, topic_setting, verbatim
from kplan.kinds.connector.debezium.engines import table_names_of
from kplan.kinds.connector.exclusive import claim
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.settings import FROM_OUTSIDE, Builder, layer
from kplan.model import Address, Connector, Resource, Rules, Secret, Stack, Topic
from kplan.planning.comparison import compare

ONLY_REPLICAS: Final = frozenset(FROM_OUTSIDE)  # all that a default says of a connector's own topics
HISTORY: Final = (
    "/config/cleanup.policy",
    "/config/retention.ms",
    "/config/retention.bytes",
)  # no stack may change them
SETTINGS: Final = ("/partitions", "/replication_factor")
NOTHING: Final = object()  # no default
_ROLE: Final = re.compile(r"(\w[\w -]*?) of connector/")


@dataclass(frozen=True, slots=True)
class Imported:
    """The stack's text, and what is in it. `notes` are what it does not say and why."""

    text: str
    topics: int
    connectors: int
    templates: int
    variables: tuple[str, ...]
    notes: tuple[str, ...]


def composed(
    found: Found,
    free: Mapping[str, Topic],
    name: str,
    workshop: Workshop,
    *,
    live: bool,
    others: Iterable[Connector] = (),
    comments: Iterable[str] = (),
) -> Imported:
    """The stack of what was found. `free` are all topics that may be folded into a connector that makes them.

    With `live` nothing may be declared that is not there: the stack is to be adopted, not to change anything. `others`
    are connectors beside those that were found.
    """
    work = _Composition(found, dict(free), name, workshop, live, tuple(others))
    data = work.data()
    notes = tuple(dict.fromkeys([*map(str, found.notes), *work.notes, *work.missing]))
    head = [*comments, *_legend(work.folds.values())]
    if notes:
        head += ["", "Not carried over, or written in another way:", *(f"- {note}" for note in notes)]
    declared = workshop.expanded(data)[0]
    return Imported(
        text(data, head),
        len(_topics(declared)),
        len(work.folds),
        sum(each.blueprint is not None for each in work.folds.values()),
        tuple(data.get("variables", {})),
        notes,
    )


def _legend(folds: Iterable[Fold]) -> Iterator[str]:
    """What a reader of the file has to know of how connectors are written."""
    configs = [(each, each.block.get("config") or {}) for each in folds if each.blueprint]
    if any(None in config.values() for _, config in configs):
        yield "A setting that is null is one that the template has and the connector has not."
    if any(each.tables and each.blueprint and each.blueprint.table.get("list") in config for each, config in configs):
        yield "A list of tables under `config:` is kept as it was written, and wins over `tables:`. Take it out before"
        yield "you add a table: the list is made of `tables:` then, each dot as `\\.`, and the connector restarts once."


@dataclass(slots=True)
class _Place:
    """Where a topic's own settings stand in the stack's data."""

    path: tuple[str, ...]
    connector: str = ""
    role: str = ""  # of a topic that only its template declares


@dataclass(slots=True)
class _Composition:
    found: Found
    free: dict[str, Topic]
    name: str
    workshop: Workshop
    live: bool
    others: tuple[Connector, ...] = ()
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # notes of this attempt alone
    topics: dict[str, Topic] = field(default_factory=dict)  # that the stack declares
    folds: dict[str, Fold] = field(default_factory=dict)
    refs: dict[str, dict[str, str]] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    tried: dict[tuple[str, int], Fold] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)  # topics that no stack can declare

    def data(self) -> dict[str, Any]:
        """The stack's data. What it makes was compared with what was found, and is the same."""
        self._cleaned()
        self._modern()
        self.refs = secret_names(self.found.connectors)
        self.levels = dict.fromkeys(self.found.connectors, WITH_TABLES)
        self._apart()
        for _ in range(3 * len(self.found.connectors) + len(self.free) + 3):
            data, again = self._attempt()
            if not again:
                return data
        raise AssertionError("every attempt takes something away")

    # -- what can be declared at all ----------------------------------------------------------------------------------
    def _cleaned(self) -> None:
        """Topics hold only what a stack can say of them; the rest is noted."""
        for names in (self.found.topics, self.free):
            for name, topic in list(names.items()):
                names[name] = self._declarable(topic, told=names is self.found.topics)
        for name in list(self.found.topics):
            if problem := catalog.check_name(name):
                self.found.topics.pop(name)
                self.notes.append(f"topic {name!r}: {problem}")

    def _declarable(self, topic: Topic, *, told: bool) -> Topic:
        config = dict(topic.config) if self.live else {key: _stored(key, value) for key, value in topic.config.items()}
        for _ in range(len(config) + 1):
            builder = Builder()
            said = {"partitions": topic.partitions, "replication_factor": topic.replication_factor, "config": config}
            builder.topic(topic.name, layer(said, "topic", {}), None, "", Rules())
            wrong = {
                "min.insync.replicas" if p.code == codes.K111.number else p.path.removeprefix("/config/"): p
                for p in builder.problems
                if p.code == codes.K111.number or p.path.startswith("/config/")
            }
            if not wrong.keys() & config.keys():
                break
            for key in sorted(wrong.keys() & config.keys()):
                config.pop(key)
                if told:
                    left = "it is left alone" if self.live else "it is left out"
                    self.notes.append(f"{topic.address}: {key} ({wrong[key].code} {wrong[key].summary}); {left}")
        return replace(topic, config=config)

    def _modern(self) -> None:
        """Connectors of files have the names of today; a live one keeps what it runs with, which is noted."""
        for name, each in self.found.connectors.items():
            blueprint = self.workshop.templates.get(each.java_class)
            if blueprint and self.live:
                self.notes += [f"{each.address}: {old}; it is kept" for old in outdated(each, blueprint)]
            elif blueprint:
                self.found.connectors[name] = modern(each, blueprint, self.notes.append)
            if not self.live:
                self.found.connectors[name] = modern_transforms(self.found.connectors[name], self.notes.append)

    def _apart(self) -> None:
        """Connectors that share what a template lets only one have are written without it."""
        owners: dict[tuple[str, str], list[Connector]] = {}
        for each in (*self.others, *self.found.connectors.values()):
            for key, said in each.config.items():
                if isinstance(said, str):
                    owners.setdefault((key, said), []).append(each)
        for name, each in self.found.connectors.items():
            blueprint = self.workshop.templates.get(each.java_class)
            for key in blueprint.unique if blueprint else ():
                if (mine := claim(each, key)) is None:
                    continue
                claims = {other.name: claim(other, key) for other in owners[key, mine.value] if other.name != name}
                sharing = [other for other, theirs in claims.items() if theirs and mine.clashes(theirs)]
                if sharing and self.levels[name] < RAW:
                    self._less(name, f"it shares {key} with connector/{min(sharing)}, which one alone may have", RAW)

    # -- one attempt --------------------------------------------------------------------------------------------------
    def _attempt(self) -> tuple[dict[str, Any], bool]:
        """The stack's data as far as it goes, and whether to try again with less."""
        self.folds, self.missing = {}, []
        for name in list(self.found.connectors):
            if not self._fold(name):
                return {}, True
        self.topics = {name: topic for name, topic in self.found.topics.items() if name not in self.dropped}
        blocks = {name: _copied(each.block) for name, each in self.folds.items()}
        places, again = self._places(blocks)
        if again:
            return {}, True
        data = self._settled(blocks, places)
        return data, self._corrected(data, places)

    def _fold(self, name: str) -> bool:
        connector, level = self.found.connectors[name], self.levels[name]
        try:
            if (name, level) not in self.tried:
                self.tried[name, level] = fold(connector, self.refs[name], level, self.workshop)
            self.folds[name] = self.tried[name, level]
        except Unfit as why:
            if self.levels[name] < RAW and connector.java_class in self.workshop.templates:
                self._less(name, str(why))
            else:
                self.found.connectors.pop(name)
                self.notes.append(f"connector/{name} is left out: {why}")
            return False
        return True

    def _less(self, name: str, why: str, level: int = WITH_TABLES) -> None:
        """The connector is written with less of its template from now on; at `level` at most."""
        self.levels[name] = min(max(self.levels[name] + 1, level), RAW)
        what = "without a template" if self.levels[name] == RAW else "with its list of tables under `config:`"
        self.notes = [note for note in self.notes if not note.startswith(f"connector/{name} is written ")]
        self.notes.append(f"connector/{name} is written {what}: {why}")

    def _base(self, blocks: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        data: dict[str, Any] = {"version": 1, "stack": self.name}
        refs = [ref for name in self.folds for ref in self.refs[name].values()]
        if refs:
            data["variables"] = variables(refs)
        data |= {key: value for key, value in more.items() if value}
        if blocks:
            data["connectors"] = dict(sorted(blocks.items()))
        return data

    def _places(self, blocks: dict[str, Any]) -> tuple[dict[str, _Place], bool]:
        """Where every topic stands; tables whose topic is not there say so in `blocks`."""
        for name, each in self.folds.items():
            extra: dict[str, Any] = {topic: {} for topic in self._others(name, each)}
            if extra:
                blocks[name]["topics"] = extra
        stack, _ = self.workshop.expanded(self._base(blocks))
        places: dict[str, _Place] = {}
        again = False
        for resource in stack.resources.values() if stack else ():
            if not isinstance(resource, Topic):
                continue
            connector = resource.origin.note.rpartition(" connector/")[2]
            place = _Place((), connector, _role(resource.origin.note))
            table = table_of(resource.origin.note)
            written = self.folds[connector].tables.get(table, "")
            there = self.free.get(resource.name) if resource.name not in self.dropped else None
            if there is None and self.live:
                if not written:
                    why = f"its template would make topic {resource.name}, which is not there, or not free"
                    self._less(connector, why, RAW)
                    again = True
                    continue
                blocks[connector]["tables"][written] = {"ignore_topic": True}
                missing = f"topic {resource.name} of its table {table} is not there, or not free"
                self.missing.append(f"connector/{connector}: {missing}: `ignore_topic`")
                continue
            kind = "tables" if written else "topics"
            place.path = ("connectors", connector, kind, written or resource.name)
            places[resource.name] = place
            if there is not None:
                self.topics[resource.name] = there
        for name in self.topics:
            places.setdefault(name, _Place(("topics", name)))
        return places, again

    def _others(self, name: str, each: Fold) -> Iterator[str]:
        """The topics that the connector fills without its tables' being known one by one."""
        if each.blueprint is None or each.tables:
            return
        config = {k: v for k, v in self.found.connectors[name].config.items() if isinstance(v, str)}
        prefix = config.get("topic.prefix", "") + config.get("topic.delimiter", ".")
        parts = table_names_of(each.blueprint.name).parts
        listed = config.get(each.blueprint.table.get("list", ""), "")
        for topic in sorted(self.free):
            rest = topic.removeprefix(prefix)
            if topic.startswith(prefix) and rest.count(".") == parts - 1 and _listed(rest, listed):
                yield topic

    # -- settings -----------------------------------------------------------------------------------------------------
    def _settled(self, blocks: dict[str, Any], places: Mapping[str, _Place]) -> dict[str, Any]:
        """The data with defaults, and what differs from them at each topic."""
        topics: dict[str, Any] = {name: {} for name, place in sorted(places.items()) if place.path[0] == "topics"}
        bare, _ = self.workshop.expanded(self._base(blocks, topics=topics))
        defaults = self._defaults(_topics(bare), places)
        inherited, _ = self.workshop.expanded(self._base(blocks, defaults=defaults, topics=topics))
        under = _topics(inherited)
        data = self._base(blocks, defaults=defaults, topics=topics)
        for name, topic in self.topics.items():
            own = self._own(topic, under.get(name), places[name])
            if topic.rules.protect:
                own["protect"] = True
            if topic.rules.ignore:
                own["ignore"] = sorted(map(verbatim, topic.rules.ignore))
            if own:
                _put(data, places[name].path, own)
        return data

    def _explicit(self) -> frozenset[str]:
        """What the environment says of every topic: a topic says it too, for it may be read in another environment."""
        said = layer(self.workshop.environment.defaults.get("topic") or {}, "", {})
        return frozenset(said) | frozenset(self.workshop.environment.fills)

    def _defaults(self, bare: Mapping[str, Topic], places: Mapping[str, _Place]) -> dict[str, Any]:
        """What most topics have in common, where saying it once is shorter."""
        rows = [(flat(topic), flat(bare[name])) for name, topic in sorted(self.topics.items())
                if name in bare and not places[name].role]  # fmt: skip
        chosen: dict[str, Any] = {}
        for path in sorted({path for row in rows for each in row for path in each} - self._explicit()):
            value = _cheapest(path, rows)
            if value is not NOTHING:
                chosen[path] = value
        return {"topic": nested(chosen)} if chosen else {}

    def _own(self, topic: Topic, under: Topic | None, place: _Place) -> dict[str, Any]:
        """What the topic says itself."""
        want, have = flat(topic), flat(under) if under else {}
        explicit = self._explicit() & ONLY_REPLICAS if place.role else self._explicit()
        own = {path: want.get(path) for path in sorted(want.keys() | have.keys())
               if not _same(path, want.get(path), have.get(path)) or (path in explicit and path in want)}  # fmt: skip
        if place.role == "history" and self.live:
            kept = [path for path in own if path in HISTORY]
            said = nested({path: value for path, value in own.items() if path not in kept})
            return {**said, "ignore": [path.removeprefix("/config/") for path in kept]} if kept else said
        return nested(own)

    # -- what still is wrong ------------------------------------------------------------------------------------------
    def _corrected(self, data: Mapping[str, Any], places: Mapping[str, _Place]) -> bool:
        """Whether something was taken away, for the stack as it is would not be what was found."""
        stack, problems = self.workshop.expanded(data)
        wrong: dict[str, str] = {}
        for problem in problems:
            if problem.is_error:
                wrong.setdefault(problem.address, f"{problem.code} {problem.summary}")
        resources = stack.resources if stack else {}
        for address, live in self._wanted():
            made = resources.get(address)
            if made is None:
                wrong.setdefault(str(address), "the stack would not declare it")
            elif diffs := compare(made, live, None).diffs:
                wrong.setdefault(str(address), f"the stack would change {', '.join(d.key for d in diffs)}")
        if not wrong:
            return False
        before = (dict(self.levels), set(self.dropped), dict(self.found.connectors))
        for name, why in wrong.items():
            self._take_away(name, why, places)
        if before == (self.levels, self.dropped, self.found.connectors):
            self.notes += [f"{name or 'the stack'}: {why}" for name, why in wrong.items()]
            return False
        return True

    def _wanted(self) -> Iterator[tuple[Address, Resource]]:
        yield from ((topic.address, topic) for topic in self.topics.values())
        for name in self.folds:
            yield self.found.connectors[name].address, self.found.connectors[name]

    def _take_away(self, address: str, why: str, places: Mapping[str, _Place]) -> None:
        kind, _, name = address.partition("/")
        if kind == "topic" and name in places:
            if places[name].connector and self.levels[places[name].connector] < RAW:
                self._less(places[name].connector, f"{address}: {why}")
            else:
                self.dropped.add(name)
                self.notes.append(f"{address} is left out: {why}")
        elif kind == "connector" and name in self.folds:
            if self.folds[name].level < RAW:
                self._less(name, why)
            else:
                self.found.connectors.pop(name)
                self.notes.append(f"{address} is left out: {why}")


def _stored(key: str, value: str) -> str:
    """A file's setting as Kafka stores it, where kplan can tell: `7d` is 604800000."""
    try:
        return catalog.parse(key, value)
    except ValueError:
        return value


def _copied(value: Any) -> Any:
    return {key: _copied(child) for key, child in value.items()} if isinstance(value, dict) else value


def _role(note: str) -> str:
    """What a connector uses the topic for, where its template alone asked for it."""
    match = _ROLE.match(note)
    return match[1] if match and not note.startswith("for table ") else ""


def _listed(rest: str, listed: str) -> bool:
    """Whether a list of patterns lets the table through; without a list all are captured."""
    if not listed:
        return True
    try:
        return any(re.fullmatch(pattern.strip(), rest) for pattern in listed.split(","))
    except re.error:
        return False


def _topics(stack: Stack | None) -> dict[str, Topic]:
    return {r.name: r for r in stack.resources.values() if isinstance(r, Topic)} if stack else {}


def flat(topic: Topic) -> dict[str, Any]:
    """A topic's settings by their paths."""
    found: dict[str, Any] = {"/partitions": topic.partitions, "/replication_factor": topic.replication_factor}
    return found | {f"/config/{key}": value for key, value in topic.config.items()}


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their paths as a block of a stack."""
    found = {path[1:]: settings[path] for path in SETTINGS if path in settings}
    config = {path.removeprefix("/config/"): value for path, value in settings.items() if path.startswith("/config/")}
    if config:
        found["config"] = {
            key: None if value is None else topic_setting(key, value) for key, value in sorted(config.items())
        }
    return found


def _same(path: str, want: Any, have: Any) -> bool:
    if want == have:
        return True
    config = path.startswith("/config/") and want is not None and have is not None
    return config and catalog.same(path.removeprefix("/config/"), want, have)


def _cheapest(path: str, rows: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Any:
    """The default that leaves least to be said at the topics; NOTHING where none leaves less."""
    pairs = [(want.get(path), under.get(path)) for want, under in rows]
    without = sum(not _same(path, want, under) for want, under in pairs)
    taken_away = any(under is not None for _, under in pairs)  # so that a default of null says something
    values = Counter(want for want, _ in pairs if want is not None or taken_away)
    best, cost = NOTHING, without
    for value, count in sorted(values.items(), key=lambda item: str(item[0])):
        if len(pairs) - count + 1 < cost:
            best, cost = value, len(pairs) - count + 1
    return best


def _put(data: dict[str, Any], path: tuple[str, ...], own: dict[str, Any]) -> None:
    inner: Any = data
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = {**(inner.get(path[-1]) or {}), **own}


def secret_names(connectors: Mapping[str, Connector]) -> dict[str, dict[str, str]]:
    """A variable's name for each secret: its key's where several connectors share the value, else with its owner's."""
    owners: dict[tuple[str, str], list[str]] = {}
    for name, connector in sorted(connectors.items()):
        for key in connector.secrets:
            value = connector.config[key]
            assert isinstance(value, Secret)
            owners.setdefault((key, value.value or f"{name} {key}"), []).append(name)
    refs: dict[str, dict[str, str]] = {name: {} for name in connectors}
    taken: set[str] = set()
    for (key, _), names in owners.items():
        ref = _free_name(_identifier(key if len(names) > 1 else f"{names[0]}_{key}"), taken)
        for name in names:
            refs[name][key] = ref
    return refs


def _identifier(words: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_") or "secret"
    return f"v_{name}" if name[0].isdigit() else name


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found

"""One connector as a block of a stack: with a template where that makes the very same configuration.

Nothing is worked out backwards for certain: a block is proposed, expanded as `plan` expands it, and compared; what
still differs is written out under `config:`, where it wins over the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kplan.diagnostics import Diagnostic
from kplan.importers.writing import draft, setting, verbatim
from kplan.kinds.connector.debezium.engines import table_names_of
from kplan.kinds.connector.templates import Blueprint
from kplan.language import limits as bounded
from kplan.language import schema, source
from kplan.language.template import PLAIN_NAME
from kplan.model import Address, Connector, Guards, Secret, Stack, Text
from kplan.model.comparison import equal
from kplan.project.environment import Environment
from kplan.project.expand import Inputs, expand

Find = Callable[[str], tuple[Blueprint | None, Sequence[Diagnostic]]]
WITH_TABLES, WITHOUT_TABLES, RAW = 0, 1, 2  # how much of a connector a template says, from most to least

_DIRECT: Final = re.compile(r"\{\{\s*p\.([\w.]+)\s*\}\}")
_MENTIONED: Final = re.compile(r"\bp\.(\w+(?:\.\w+)*)")
_ESCAPED: Final = re.compile(r"\\(.)")
_OF_TABLE: Final = re.compile(r"for table (.+) of connector/")


class Unfit(Exception):
    """The connector cannot be written like this; the message says why."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What blocks are tried out with. No guard of the environment counts, and Connect is taken to be there."""

    environment: Environment
    find: Find
    templates: Mapping[str, Blueprint] = field(default_factory=dict)  # by the connector's class

    @classmethod
    def of(cls, environment: Environment, find: Find, names: Iterable[str]) -> Workshop:
        connect = environment.connect or {"url": "http://connect:8083"}
        free = replace(environment, connect=connect, guards=Guards())
        found = {blueprint.java_class: blueprint for name in names if (blueprint := find(name)[0])}
        return cls(free, find, found)

    def expanded(self, data: Mapping[str, Any]) -> tuple[Stack | None, list[Diagnostic]]:
        """What the stack's text declares once it is read again, and what is wrong with it."""
        document, problems = source.load(draft(data), "stack")
        wrong = [*problems, *(schema.check(document, schema.read_schema("stack.v1")) if document else ())]
        if document is None or wrong:
            return None, wrong
        return expand(document, Inputs(self.environment, find=self.find))


@dataclass(frozen=True, slots=True)
class Fold:
    """A connector's block. `tables` are the keys of its tables by their full names; `level` is how it is written."""

    block: dict[str, Any]
    level: int
    blueprint: Blueprint | None = None
    tables: Mapping[str, str] = field(default_factory=dict)


def fold(connector: Connector, refs: Mapping[str, str], level: int, workshop: Workshop) -> Fold:
    """The block that makes this very connector. `refs` name the variables of its secrets, by key. Raises Unfit."""
    blueprint = workshop.templates.get(connector.java_class)
    if level < RAW and blueprint is not None:
        return _Folding(connector, refs, workshop, blueprint, level).fold()
    own = {key: value for key, value in connector.config.items() if key != "connector.class"}
    block: dict[str, Any] = {}
    if connector.java_class:
        block["class"] = verbatim(connector.java_class)
    block |= _besides(connector)
    if own:
        block["config"] = {verbatim(key): _written(refs, key, value) for key, value in sorted(own.items())}
    found = Fold(block, RAW)
    made = _made(connector, found, refs, workshop)
    wrong = _differing(connector, made)
    if wrong:
        raise Unfit(f"{', '.join(sorted(wrong))} cannot be said in a stack")
    return found


def _besides(connector: Connector) -> dict[str, Any]:
    """What the block says besides the configuration."""
    found: dict[str, Any] = {} if connector.state == "running" else {"state": connector.state}
    if connector.rules.protect:
        found["protect"] = True
    if connector.rules.ignore:
        found["ignore"] = sorted(map(verbatim, connector.rules.ignore))
    return found


def _written(refs: Mapping[str, str], key: str, value: Text) -> Any:
    return f"{{{{ var.{refs[key]} }}}}" if isinstance(value, Secret) else setting(value)


def variables(refs: Iterable[str]) -> dict[str, Any]:
    """The declarations of sensitive variables."""
    return {name: {"type": "string", "env": name.upper(), "sensitive": True} for name in sorted(dict.fromkeys(refs))}


def _made(connector: Connector, found: Fold, refs: Mapping[str, str], workshop: Workshop) -> Connector:
    """What the block makes. Raises Unfit."""
    data: dict[str, Any] = {"version": 1, "stack": "imported"}
    if refs:
        data["variables"] = variables(refs.values())
    stack, problems = workshop.expanded({**data, "connectors": {connector.name: found.block}})
    made = stack.resources.get(Address("connector", connector.name)) if stack else None
    errors = [problem for problem in problems if problem.is_error and not problem.address]
    if errors or not isinstance(made, Connector):  # those with an address are about its topics, which may come yet
        raise Unfit(next((_said(p) for p in [*errors, *problems] if p.is_error), "it cannot be expanded"))
    return made


def _said(problem: Diagnostic) -> str:
    """A problem in one line without values, for one might be a secret."""
    return f"{problem.code} {problem.summary}"


def _differing(live: Connector, made: Connector) -> list[str]:
    keys = (live.config.keys() | made.config.keys()) - {"name"}
    return sorted(key for key in keys if not equal(made.config.get(key), live.config.get(key)))


@dataclass(slots=True)
class _Folding:
    connector: Connector
    refs: Mapping[str, str]
    workshop: Workshop
    blueprint: Blueprint
    level: int

    @property
    def plain(self) -> dict[str, str]:
        return {key: value for key, value in self.connector.config.items() if isinstance(value, str)}

    def fold(self) -> Fold:
        parameters = self._required()
        tables = self._tables() if self.level == WITH_TABLES else {}
        found = self._fold(parameters, tables, {})
        wanted = _differing(self.connector, _made(self.connector, found, self.refs, self.workshop))
        for key in wanted:
            self._say(parameters, key)
        found = self._fold(parameters, tables, {})
        wrong = _differing(self.connector, _made(self.connector, found, self.refs, self.workshop))
        config = {verbatim(key): self._own(key) for key in wrong}
        found = self._fold(parameters, tables, config)
        still = _differing(self.connector, _made(self.connector, found, self.refs, self.workshop))
        if still:
            raise Unfit(f"the template would change {', '.join(still)}")
        return found

    def _fold(self, parameters: Mapping[str, Any], tables: Mapping[str, str], config: Mapping[str, Any]) -> Fold:
        block: dict[str, Any] = {"template": self.blueprint.name, **parameters}
        if tables:
            block["tables"] = {written: {} for written in tables.values()}
        block |= _besides(self.connector)
        if config:
            block["config"] = dict(config)
        return Fold(block, self.level, self.blueprint, tables)

    def _own(self, key: str) -> Any:
        value = self.connector.config.get(key)
        return None if value is None else _written(self.refs, key, value)

    # -- parameters ---------------------------------------------------------------------------------------------------
    def _required(self) -> dict[str, Any]:
        """The parameters that the template needs, and the database's. Raises Unfit where one cannot be told."""
        parameters: dict[str, Any] = {}
        paths = {path: key for key, path in self._direct()}
        for path in _needed(self.blueprint.parameters):
            if path in paths and paths[path] in self.connector.config:
                self._say(parameters, paths[path])
        names = table_names_of(self.blueprint.name)
        home = names.find_home(self.plain)
        if home and _at(self.blueprint.parameters, "database.name") is not None:
            parameters.setdefault("database", {})["name"] = verbatim(home)
        for path in _needed(self.blueprint.parameters):
            if not _holds(parameters, path):
                raise Unfit(f"{self.blueprint.name} needs `{path}`, which its configuration does not tell")
        return parameters

    def _direct(self) -> Iterator[tuple[str, str]]:
        """Each property that is one parameter and nothing else, with that parameter's path."""
        for key, template in self.blueprint.config.items():
            match = _DIRECT.fullmatch(template) if isinstance(template, str) else None
            if match:
                yield key, match[1]

    def _say(self, parameters: dict[str, Any], key: str) -> None:
        """The parameter behind a property says what the property is, where there is one and it can."""
        path = self._path(key)
        value = self.connector.config.get(key)
        if not path or value is None or _holds(parameters, path):
            return
        typed = self._typed(key, value, _at(self.blueprint.parameters, path))
        if typed is None:
            return
        inner = parameters
        *above, last = path.split(".")
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = typed

    def _path(self, key: str) -> str:
        template = self.blueprint.config.get(key)
        if not isinstance(template, str):
            return ""
        direct = dict(self._direct())
        if key in direct:
            return direct[key]
        mentioned = _MENTIONED.search(template)
        path = mentioned[1] if mentioned else ""
        return "" if path in direct.values() else path

    def _typed(self, key: str, value: Text, rule: Mapping[str, Any] | None) -> Any:
        """The property's text as a value of the parameter; None where it may not have it."""
        if rule is None or isinstance(value, Secret):
            return None if rule is None else _written(self.refs, key, value)
        typed: Any = value.split(",") if rule.get("type") == "array" else value
        if rule.get("type") in ("integer", "boolean"):
            typed = setting(value)
        if bounded.reference_in(rule) or not schema.meets(typed, rule):
            return None
        if isinstance(typed, list):
            return [verbatim(each) for each in typed]
        return verbatim(typed) if isinstance(typed, str) and rule.get("type") != "integer" else typed

    # -- tables -------------------------------------------------------------------------------------------------------
    def _tables(self) -> dict[str, str]:
        """The captured tables as the block names them, by their full names; none where one may be a pattern."""
        listed = self.plain.get(self.blueprint.table.get("list", ""), "")
        entries = [_ESCAPED.sub(r"\1", entry.strip()) for entry in listed.split(",") if entry.strip()]
        if not entries:
            return {}
        if not all(PLAIN_NAME.match(entry) and "." in entry for entry in entries):
            raise Unfit("its list of tables holds patterns")
        names = table_names_of(self.blueprint.name)
        home = names.find_home(self.plain)
        return {full: verbatim(short) for full, short in (names.shorten(e, home) for e in entries)}


def _needed(rule: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The paths of the parameters that must be there."""
    for name in rule.get("required") or ():
        inner = (rule.get("properties") or {}).get(name) or {}
        below = list(_needed(inner, f"{above}{name}."))
        yield from below or [f"{above}{name}"]


def _at(rule: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    inner: Any = rule
    for part in path.split("."):
        inner = (inner.get("properties") or {}).get(part)
        if inner is None:
            return None
    found: Mapping[str, Any] = inner
    return found


def _holds(parameters: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(parameters, Mapping) or part not in parameters:
            return False
        parameters = parameters[part]
    return True


def table_of(note: str) -> str:
    """The full name of the table that a topic is for, by the note of its origin."""
    match = _OF_TABLE.match(note)
    return match[1] if match else ""

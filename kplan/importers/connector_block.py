"""One connector as a block of a stack: with a template where that makes exactly the same configuration.

Nothing is worked out backwards for certain: a block is proposed, expanded as `plan` expands it, and compared; what
still differs is written out under `config:`, where it wins over the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Final

from kplan.diagnostics import Diagnostic
from kplan.importers.parts import set_at, write_rules
from kplan.importers.writing import count_lines, escape_template, to_setting, write_draft
from kplan.kinds.connector.comparison import is_same_setting
from kplan.kinds.connector.debezium.engines import table_names_of
from kplan.kinds.connector.names import alias_of, name_in_connect
from kplan.kinds.connector.shorthands import shorten
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.schemas import read_schema
from kplan.language import limits as bounded
from kplan.language import schema, source
from kplan.language.template import PLAIN_NAME, Scope, TemplateProblem, render
from kplan.model import Address, Connector, Guards, Origin, Resource, Secret, Stack, Text
from kplan.project.environment import Environment
from kplan.project.expand import Inputs, expand
from kplan.values import dataclass

FindTemplate = Callable[[str], tuple[Blueprint | None, Sequence[Diagnostic]]]
WITH_TABLES, WITHOUT_TABLES, RAW = 0, 1, 2  # how much of a connector comes from a template, from most to least

_DIRECT: Final = re.compile(r"\{\{\s*p\.([\w.]+)\s*\}\}")
_MENTIONED: Final = re.compile(r"\bp\.(\w+(?:\.\w+)*)")
_ESCAPED: Final = re.compile(r"\\(.)")
_OF_TABLE: Final = re.compile(r"for table (.+) of connector/")


class UnfitTemplate(Exception):
    """The connector cannot be written like this; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class BlockExpander:
    """Expands blocks on trial, without the environment's guards, as if Connect could be reached."""

    environment: Environment
    find_template: FindTemplate
    templates: Mapping[str, Blueprint] = field(default_factory=dict)  # by the connector's class

    @classmethod
    def create(cls, environment: Environment, find: FindTemplate, names: Iterable[str]) -> BlockExpander:
        """Create the expander, with the templates of `names` by the connector class that they make."""
        connect = environment.connect or {"url": "http://connect:8083"}
        unguarded = replace(environment, connect=connect, guards=Guards())
        templates = {blueprint.java_class: blueprint for name in names if (blueprint := find(name)[0])}
        return cls(unguarded, find, templates)

    def expand(self, data: Mapping[str, Any]) -> tuple[Stack | None, list[Diagnostic]]:
        """Return what the stack's text declares once it is read again, and its problems."""
        document, problems = source.load(write_draft(data), "stack")
        errors = [*problems, *(schema.check(document, read_schema("stack.v1")) if document else ())]
        if document is None or errors:
            return None, errors
        return expand(document, Inputs(self.environment, find_template=self.find_template))

    def declares_same(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Return whether both can be expanded, to the same resources."""
        resources = self._list_resources(one)
        return resources is not None and resources == self._list_resources(other)

    def _list_resources(self, data: Mapping[str, Any]) -> Mapping[Address, Resource] | None:
        """Return what the data declares, wherever it stands; None where it cannot be expanded."""
        stack, _ = self.expand(data)
        if stack is None:
            return None
        return {address: replace(resource, origin=Origin()) for address, resource in stack.resources.items()}


@dataclass(frozen=True, slots=True)
class ImportedConnector:
    """A connector's block. `tables` are the keys of its tables by their full names; `level` is how it is written."""

    block: dict[str, Any]
    level: int
    blueprint: Blueprint | None = None
    tables: Mapping[str, str] = field(default_factory=dict)


def write_block(
    connector: Connector, refs: Mapping[str, str], level: int, expander: BlockExpander
) -> ImportedConnector:
    """Return the block of exactly this connector. `refs` name its secrets' variables by key. Raises UnfitTemplate."""
    blueprint = expander.templates.get(connector.java_class)
    if level < RAW and blueprint is not None:
        return min(_write_variants(connector, refs, level, expander, blueprint), key=_count_lines)
    own = {key: value for key, value in connector.config.items() if key != "connector.class"}
    block: dict[str, Any] = {}
    if connector.java_class:
        block["class"] = escape_template(connector.java_class)
    block |= _other_attributes(connector)
    block |= shorten({escape_template(key): _write_setting(refs, key, value) for key, value in sorted(own.items())})
    connector_block = ImportedConnector(block, RAW)
    expanded = _expand_block(connector, connector_block, refs, expander)
    differing = _find_differing_keys(connector, expanded)
    if differing:
        raise UnfitTemplate(f"{', '.join(sorted(differing))} cannot be written in a stack")
    return connector_block


def _write_variants(
    connector: Connector, refs: Mapping[str, str], level: int, expander: BlockExpander, blueprint: Blueprint
) -> Iterator[ImportedConnector]:
    """Yield the block with the template's defaults, and without them where some do not fit. Raises UnfitTemplate."""
    block = _TemplateBlock(connector, refs, expander, blueprint, level).write()
    yield block
    if None in (block.block.get("config") or {}).values():
        yield _TemplateBlock(connector, refs, expander, blueprint, level, has_defaults=False).write()


def _count_lines(block: ImportedConnector) -> int:
    return count_lines({"connectors": {"NAME": block.block}})


def _other_attributes(connector: Connector) -> dict[str, Any]:
    """Return the block's attributes other than the configuration."""
    attributes: dict[str, Any] = {}
    if alias := alias_of(connector.name):
        attributes = {"name": name_in_connect(connector), "on": alias}
    if connector.state != "running":
        attributes["state"] = connector.state
    return attributes | write_rules(connector.rules)


def _write_setting(refs: Mapping[str, str], key: str, value: Text) -> Any:
    """Return a setting as the block has it: the reference to its variable, or its value."""
    return f"{{{{ var.{refs[key]} }}}}" if isinstance(value, Secret) else to_setting(value)


def declare_variables(refs: Iterable[str], owner: str = "") -> dict[str, Any]:
    """Return the declarations of sensitive variables; `owner` is in front of the names that the environment has."""
    begin = f"{owner}_".upper() if owner else ""
    return {name: {"env": f"{begin}{name.upper()}", "sensitive": True} for name in sorted(dict.fromkeys(refs))}


def to_identifier(words: str) -> str:
    """Return the words as a variable's name."""
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_") or "secret"
    return f"v_{name}" if name[0].isdigit() else name


def choose_free_name(name: str, taken: set[str]) -> str:
    """Return the name, with a number where it is taken, and take it."""
    number = 2
    free_name = name
    while free_name in taken:
        free_name, number = f"{name}_{number}", number + 1
    taken.add(free_name)
    return free_name


def _expand_block(
    connector: Connector, connector_block: ImportedConnector, refs: Mapping[str, str], expander: BlockExpander
) -> Connector:
    """Return the connector that the block makes. Raises UnfitTemplate."""
    data: dict[str, Any] = {"version": 1, "stack": "imported"}
    if refs:
        data["variables"] = declare_variables(refs.values())
    stack, problems = expander.expand({**data, "connectors": {connector.name: connector_block.block}})
    expanded = stack.resources.get(Address("connector", connector.name)) if stack else None
    errors = [problem for problem in problems if problem.is_error and not problem.address]
    if errors or not isinstance(expanded, Connector):  # those with an address are about its topics, which may come yet
        raise UnfitTemplate(
            next((_describe_problem(p) for p in [*errors, *problems] if p.is_error), "it cannot be expanded")
        )
    return expanded


def _describe_problem(problem: Diagnostic) -> str:
    """Return a problem in one line without values: a value might be a secret."""
    return f"{problem.code} {problem.summary}"


def _find_differing_keys(live: Connector, expanded: Connector) -> list[str]:
    """Return the keys of the settings that differ."""
    keys = (live.config.keys() | expanded.config.keys()) - {"name"}
    return sorted(key for key in keys if not is_same_setting(key, expanded.config.get(key), live.config.get(key)))


@dataclass(slots=True)
class _TemplateBlock:
    """Writes a connector as a block with a template."""

    connector: Connector
    refs: Mapping[str, str]
    expander: BlockExpander
    blueprint: Blueprint
    level: int
    has_defaults: bool = True

    @property
    def plain_settings(self) -> dict[str, str]:
        """Return the settings that are not secret."""
        return {key: value for key, value in self.connector.config.items() if isinstance(value, str)}

    def write(self) -> ImportedConnector:
        """Return the block. Raises UnfitTemplate where the template changes the connector."""
        parameters = self._find_parameters()
        tables = self._find_tables() if self.level == WITH_TABLES else {}
        connector_block = self._assemble(parameters, tables, {})
        missing = _find_differing_keys(
            self.connector, _expand_block(self.connector, connector_block, self.refs, self.expander)
        )
        for key in missing:
            self._set_parameter(parameters, key)
        connector_block = self._assemble(parameters, tables, {})
        differing = _find_differing_keys(
            self.connector, _expand_block(self.connector, connector_block, self.refs, self.expander)
        )
        config = {escape_template(key): self._override(key) for key in differing}
        connector_block = self._assemble(parameters, tables, config)
        remaining = _find_differing_keys(
            self.connector, _expand_block(self.connector, connector_block, self.refs, self.expander)
        )
        if remaining:
            raise UnfitTemplate(f"the template would change {', '.join(remaining)}")
        return connector_block

    def _assemble(
        self, parameters: Mapping[str, Any], tables: Mapping[str, str], config: Mapping[str, Any]
    ) -> ImportedConnector:
        """Return the block of these parameters, tables and settings."""
        block: dict[str, Any] = {"template": self.blueprint.name, **parameters}
        if not self.has_defaults:
            block["template_defaults"] = False
        if tables:
            block["tables"] = {key: {} for key in tables.values()}
        block |= _other_attributes(self.connector)
        block |= shorten(config)
        return ImportedConnector(block, self.level, self.blueprint, tables)

    def _override(self, key: str) -> Any:
        """Return the connector's own value of a setting; None removes the template's."""
        value = self.connector.config.get(key)
        return None if value is None else _write_setting(self.refs, key, value)

    # -- parameters ---------------------------------------------------------------------------------------------------
    def _find_parameters(self) -> dict[str, Any]:
        """Return the parameters that the template needs, and the database's. Raises UnfitTemplate."""
        parameters: dict[str, Any] = {}
        paths = {self._parameter_path(key): key for key in self.blueprint.config}
        paths |= {path: key for key, path in self._direct_parameters()}
        for path in _required_paths(self.blueprint.parameters):
            if path in paths and paths[path] in self.connector.config:
                self._set_parameter(parameters, paths[path])
        names = table_names_of(self.blueprint.name)
        home = names.find_home(self.plain_settings)
        if home and _rule_at(self.blueprint.parameters, "database.name") is not None:
            parameters.setdefault("database", {})["name"] = escape_template(home)
        for path in _required_paths(self.blueprint.parameters):
            if not _has_parameter(parameters, path):
                raise UnfitTemplate(f"{self.blueprint.name} needs `{path}`, which its configuration does not have")
        return parameters

    def _direct_parameters(self) -> Iterator[tuple[str, str]]:
        """Yield each setting that is one parameter and nothing else, with that parameter's path."""
        for key, template in self.blueprint.config.items():
            match = _DIRECT.fullmatch(template) if isinstance(template, str) else None
            if match:
                yield key, match[1]

    def _set_parameter(self, parameters: dict[str, Any], key: str) -> None:
        """Set the parameter of a setting to the setting's value, where there is one and it accepts the value."""
        path = self._parameter_path(key)
        value = self.connector.config.get(key)
        if not path or value is None or _has_parameter(parameters, path):
            return
        rule = _rule_at(self.blueprint.parameters, path)
        is_choice = rule is not None and isinstance(value, str) and value not in rule.get("enum", (value,))
        typed = self._find_choice(key, path, value, rule) if is_choice else self._to_parameter(key, value, rule)
        if typed is None:
            return
        set_at(parameters, path.split("."), typed)

    def _parameter_path(self, key: str) -> str:
        """Return the path of the parameter that the setting is made of; empty where there is none."""
        template = self.blueprint.config.get(key)
        if not isinstance(template, str):
            return ""
        direct = dict(self._direct_parameters())
        if key in direct:
            return direct[key]
        mentioned = _MENTIONED.search(template)
        path = mentioned[1] if mentioned else ""
        return "" if path in direct.values() else path

    def _find_choice(self, key: str, path: str, value: Text, rule: Mapping[str, Any] | None) -> Any:
        """Return the word of a parameter of which the template makes the setting's text; None where none does."""
        for word in (rule or {}).get("enum", ()):
            parameters: dict[str, Any] = {}
            set_at(parameters, path.split("."), word)
            try:
                if render(self.blueprint.config[key], Scope({"p": parameters})) == value:
                    return word
            except TemplateProblem:
                continue
        return None

    def _to_parameter(self, key: str, value: Text, schema_of_parameter: Mapping[str, Any] | None) -> Any:
        """Return the setting's text as a value of the parameter; None where the parameter does not accept it."""
        if schema_of_parameter is None or isinstance(value, Secret):
            return None if schema_of_parameter is None else _write_setting(self.refs, key, value)
        typed: Any = value.split(",") if schema_of_parameter.get("type") == "array" else value
        if schema_of_parameter.get("type") in ("integer", "boolean"):
            typed = to_setting(value)
        if bounded.reference_in(schema_of_parameter) or not schema.meets(typed, schema_of_parameter):
            return None
        if isinstance(typed, list):
            return [escape_template(item) for item in typed]
        return (
            escape_template(typed) if isinstance(typed, str) and schema_of_parameter.get("type") != "integer" else typed
        )

    # -- tables -------------------------------------------------------------------------------------------------------
    def _find_tables(self) -> dict[str, str]:
        """Return the captured tables as the block names them, by their full names; none without a list of tables."""
        table_list = self.plain_settings.get(self.blueprint.table.get("list", ""), "")
        entries = [_ESCAPED.sub(r"\1", entry.strip()) for entry in table_list.split(",") if entry.strip()]
        if not entries:
            return {}
        if not all(PLAIN_NAME.match(entry) and "." in entry for entry in entries):
            raise UnfitTemplate("its list of tables holds patterns")
        names = table_names_of(self.blueprint.name)
        home = names.find_home(self.plain_settings)
        return {full: escape_template(short) for full, short in (names.shorten(e, home) for e in entries)}


def _required_paths(rule: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the paths of the required parameters."""
    for name in rule.get("required") or ():
        property_rule = (rule.get("properties") or {}).get(name) or {}
        below = list(_required_paths(property_rule, f"{above}{name}."))
        yield from below or [f"{above}{name}"]


def _rule_at(rule: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """Return the rule of the parameter at `path`, or None."""
    inner: Any = rule
    for part in path.split("."):
        inner = (inner.get("properties") or {}).get(part)
        if inner is None:
            return None
    found_rule: Mapping[str, Any] = inner
    return found_rule


def _has_parameter(parameters: Any, path: str) -> bool:
    """Return whether a parameter has a value at `path`."""
    for part in path.split("."):
        if not isinstance(parameters, Mapping) or part not in parameters:
            return False
        parameters = parameters[part]
    return True


def table_of(note: str) -> str:
    """Return the full name of the table that a topic belongs to, read from the note of its origin."""
    match = _OF_TABLE.match(note)
    return match[1] if match else ""

"""Connector templates, and how a connector block becomes a connector with its topics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplan.diagnostics import error, warning
from kplan.kinds.connector.block import ConnectorBlock
from kplan.kinds.connector.discovery import ENGINES
from kplan.kinds.connector.routing import routing
from kplan.kinds.connector.tables import (
    Table,
    Unsupported,
    Unwritable,
    as_entry,
    column_settings,
    databases,
    describes_topic,
    gained,
    include_list,
    is_pattern,
    problem_of,
    split,
    with_signals,
    wording,
)
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.connector.topics import Feeds
from kplan.kinds.expansion import KEY
from kplan.kinds.topic.settings import BUILT_IN, layer, only, rules, stacked
from kplan.language import keys
from kplan.language import limits as bounded
from kplan.language import schema as schemas
from kplan.language.keys import DEFAULTS_PLACE, missing_blank
from kplan.language.template import Scope, shown, snake
from kplan.model import Connector, Origin, Secret, Text, conceal

COMMON = frozenset(
    (
        "template",
        "class",
        "name",
        "client",
        "config",
        "state",
        "restart",
        "restart_failed",
        "protect",
        "ignore",
        "accept",
    )
    + ("tables", "topics", "new_tables", "dead_letter", "for_each", "description", "on_delete")
)
CONNECTOR_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
LONGEST = 10_000  # characters of a setting that templates for names of topics may read
OF_DEAD_LETTERS = (
    "errors.tolerance",
    "errors.deadletterqueue.topic.name",
    "errors.deadletterqueue.topic.replication.factor",
    "errors.deadletterqueue.context.headers.enable",
)
EXCLUSION = "!"  # before an entry of `tables:`: what the patterns beside it leave out


def _lost_letters(text: str) -> str:
    """The letters of `text` that `snake` cannot keep, each once."""
    return "".join(dict.fromkeys(letter for letter in text if letter.isalnum() and not letter.isascii()))


@dataclass(slots=True)
class ConnectorBuilder(ConnectorBlock):
    """One connector block on its way to a connector, its tables' topics and its internal topics."""

    def build(self) -> None:
        if not self._find_blueprint() or not self._find_name():
            return
        given = {k: v for k, v in self.block.items() if k not in ("for_each", "template")}
        own = self.expansion.block(given, self.path, self.scope, secret=given.keys() - COMMON | {"config"})
        if own is None:
            return
        parameters = self._parameters(own)
        if parameters is None:
            return
        scope = self.scope.with_names(p=parameters)
        scope = scope.with_names(kplan={**scope.names["kplan"], "connector": self.name})
        tables, excluded = self._tables(own, scope)
        listed = [as_entry(each) for each in include_list(tables, excluded)]
        scope = scope.with_names(tables=listed, databases=databases(tables))
        config, sources = self._config(own, scope, tables)
        if isinstance(config.get("topic.prefix"), Secret):
            self.report("K209", "a sensitive value would be shown here", "topic.prefix", "it is in the topics' names")
            return
        feeds = Feeds(self, routing(plain(config)))
        feeds.declare(own, tables, scope.with_names(config=plain(config)))
        known = self.template if self.template.name else feeds.known_class(config)
        if known is not None and known is not self.template:
            self._tell_old_values(config, known)
        dead = self._dead_letter(own, config, sources)
        feeds.expect(own, tables, config, scope.with_names(config=plain(config)))
        if not self.expansion.surroundings.has_connect:
            environment = self.expansion.surroundings
            help = "add `connect: {url: …}` to the environment" if environment.file else "add --connect URL"
            self.report("K218", "this environment has no Connect", self.name, help)
        self.expansion.add(self._connector(own, config, sources, feeds, dead, tables, known.unique if known else ()))

    # -- which template, which name -------------------------------------------------------------------------------
    def _find_blueprint(self) -> bool:
        name = self.block.get("template")
        if name is None:
            if "class" not in self.block and "connector.class" not in (self.block.get("config") or {}):
                self.report(
                    "K224",
                    "a connector has neither template nor class",
                    self.key,
                    "write `template: debezium-postgres` or `class: org.example.MyConnector`",
                )
                return False
            self._unknown_keys({})
            return True
        rendered = self.expansion.value(name, (*self.path, "template"), self.scope)
        found, problems = self.expansion.find(str(rendered))
        self.expansion.problems += [p.located(self.expansion.document.at(*self.path, "template")) for p in problems]
        if found is None:
            return False
        self.template = found
        self._unknown_keys(found.parameters.get("properties") or {})
        return True

    def _unknown_keys(self, known: Mapping[str, Any]) -> None:
        import difflib

        for key in self.block:
            if key not in COMMON and key not in known:
                close = difflib.get_close_matches(key, [*COMMON, *known], 1)
                what = f"template {self.template.name}" if self.template.name else "a connector without a template"
                self.expansion.report(
                    "K206",
                    "unknown key of a connector",
                    f"{key}: {what} has no such key",
                    (*self.path, key),
                    missing_blank(key, self.block[key])
                    or (DEFAULTS_PLACE if key == "defaults" else "")
                    or (f"did you mean `{close[0]}`?" if close else "a raw Connect property stands under `config:`"),
                    key=True,
                )

    def _find_name(self) -> bool:
        value = self.expansion.value
        key = value(self.key, self.path, self.scope)
        name = value(self.block.get("name"), (*self.path, "name"), self.scope)
        client = value(self.block.get("client"), (*self.path, "client"), self.scope)
        if key is None:
            return False
        self.name = str(name) if name else f"{snake(client)}_{snake(key)}_connector" if client else str(key)
        if client and not name and (lost := _lost_letters(f"{client}{key}")):
            self._warn_of_lost_letters(lost)
        if CONNECTOR_NAME.match(self.name):
            return True
        self.report("K109", "illegal connector name", repr(self.name), "1 to 249 of a-z A-Z 0-9 . _ -")
        return False

    def _warn_of_lost_letters(self, lost: str) -> None:
        detail = f"{self.name}: {', '.join(lost)} became _"
        help = f"write `name:` beside `client:`; `name: {self.name}` keeps this one"
        span = self.expansion.document.at(*self.path, "client")
        self.expansion.problems.append(warning("K247", "a derived name loses letters", detail, help=help, span=span))

    # -- parameters -----------------------------------------------------------------------------------------------
    def _parameters(self, own: Mapping[str, Any]) -> dict[str, Any] | None:
        """The block's own keys with the template's defaults, None where one is missing or wrong."""
        if not self.template.name:
            return {}
        known = self.template.parameters.get("properties") or {}
        given = {k: v for k, v in own.items() if k in known}
        before = len(self.expansion.problems)
        self._judge(given, self.template.parameters, self.path)
        return None if len(self.expansion.problems) > before else _filled(given, self.template.parameters)

    def _judge(self, value: Any, schema: Mapping[str, Any], path: KEY) -> None:
        """Reports what of `value` does not meet the JSON Schema of the template's parameters."""
        if not bounded.reference_in(schema) and schemas.meets(shown(value), schema):
            return
        problem = bounded.schema_problem(schema)
        try:
            failures = [] if problem else list(bounded.violations(schema, shown(value)))
        except (ValueError, RecursionError) as e:
            problem = str(e)
        if problem:
            detail = f"{self.template.name}: {problem}"
            self.report("K221", "a template's parameters are no JSON Schema", detail, "correct the template")
            return
        for failure in failures:
            at = (*path, *failure.absolute_path)
            if failure.validator == "required":
                missing = [key for key in failure.validator_value if key not in failure.instance]
                dotted = ".".join(map(str, [*at[2:], missing[0] if missing else ""]))
                detail = f"{self.template.name} needs `{dotted}`"
                self.expansion.report("K221", "a template's parameter is missing", detail, at, "add it", key=True)
            elif (
                failure.validator == "type" and isinstance(failure.instance, dict) is False and failure.instance is None
            ):
                continue  # a template that could not be rendered, reported there
            else:
                self.expansion.report(
                    "K221",
                    "a template's parameter has a value that it may not have",
                    f"{'.'.join(map(str, at[2:]))}: {failure.message}",
                    at,
                    str(failure.schema.get("description", "")),
                )

    # -- tables and topics ----------------------------------------------------------------------------------------
    def _tables(self, own: Mapping[str, Any], scope: Scope) -> tuple[list[Table], list[str]]:
        """The tables and patterns of `tables:`, and what the patterns exclude."""
        found: dict[str, Table] = {}
        excluded: list[str] = []
        patterns = False
        if own.get("tables") and "name" not in self.template.table:
            detail = f"tables: {self.template.name or 'a raw connector'} has no tables"
            at = (*self.path, "tables")
            self.expansion.report("K206", "unknown key of a connector", detail, at, key=True)
            return [], []
        for written, settings, at in self.entries("tables", own, scope):
            table = self._table(written, settings, at, scope)
            patterns |= is_pattern(written) and not written.startswith(EXCLUSION)
            if table is None:
                continue
            if written.startswith(EXCLUSION):
                excluded.append(table.include)
            elif table.name in found:
                self.expansion.report("K211", "declared twice", f"table {table.name}", at)
            else:
                found[table.name] = table
        if excluded and not found and not self.block.get("topics"):
            all_others = f"all tables but {', '.join(excluded)}"
            help = "name the topics under the connector's `topics:`, or list the tables one by one"
            help += f": `kplan discover {self.name} STACK` prints them" if self.template.java_class in ENGINES else ""
            self.expansion.report("K216", "a pattern of tables has no topics", all_others, (*self.path, "tables"), help)
        if excluded and found and not patterns:
            self.report("K216", "nothing to exclude from", excluded[0], "the other tables are not captured anyway")
        if own.get("tables"):
            self._lists_besides(own, include_list(list(found.values()), excluded))
        return list(found.values()), excluded

    def _lists_besides(self, own: Mapping[str, Any], listed: Sequence[str]) -> None:
        """Reports a list under `config:` that would leave out what `tables:` says, or stand against it."""
        kept = self.template.table.get("list", "")
        for key, value in (own.get("config") or {}).items():
            name = self.template.renamed.get(key, key)
            if not kept or value is None or name not in (kept, kept.replace(".include.", ".exclude.")):
                continue
            left = gained(split(str(_string(value))), listed) if name == kept else [key]
            if left:
                what = f"{key}, by `tables:` and here"
                what += f", where {wording(left[0])} is missing" if name == kept else ""
                at, help = (*self.path, "config", key), "keep it under `config:` or `tables:`; `!` excludes there"
                self.expansion.report("K211", "declared twice", what, at, help, key=True)

    def _table(self, written: str, settings: Mapping[str, Any], at: KEY, scope: Scope) -> Table | None:
        excludes, written = written.startswith(EXCLUSION), written.removeprefix(EXCLUSION)
        if is_pattern(written):
            return self._pattern(written, settings, at, needs_topics=not excludes)
        name = self.own_text(self.template.table["name"], scope.with_names(table=written), at)
        if name is None:
            return None
        inner = scope.with_names(table=written, name=str(name))
        include = self.own_text(self.template.table.get("include", str(name)), inner, at)
        return Table(written, str(name), str(include), settings, at)

    def _pattern(self, written: str, settings: Mapping[str, Any], at: KEY, *, needs_topics: bool) -> Table:
        """A pattern makes no topic itself: kplan cannot tell which tables it stands for."""
        if wrong := problem_of(written):
            self._no_regex(written, wrong, at)
        problem, help = "", "name the topics under the connector's `topics:`"
        if needs_topics and not self.block.get("topics"):
            problem = "a pattern of tables has no topics"
            help += ", or list the tables one by one"
            help += f": `kplan discover {self.name} STACK` prints them" if self.template.java_class in ENGINES else ""
        elif describes_topic(settings):
            problem = "settings of a topic at a pattern of tables"
        if problem:
            self.expansion.report("K216", problem, written, at, help)
        return Table(written, written, written, settings, at)

    def _no_regex(self, text: str, problem: str, at: KEY) -> None:
        help = "a backslash before a character of a name takes its meaning away"
        self.expansion.report("K203", "this is no regular expression", f"{text}: {problem}", at, help)

    def _dead_letter(self, own: Mapping[str, Any], config: dict[str, Text], sources: dict[str, str]) -> str:
        """Declares the dead-letter topic and sets what makes a sink use it."""
        block = own.get("dead_letter")
        if not block:
            return ""
        name = str(block["topic"])
        at: KEY = (*self.path, "dead_letter")
        spans = self.expansion.spans(at, self.block["dead_letter"])
        internal = only(stacked(self.expansion.outer))  # Kafka refuses records without a key where a topic is compacted
        settings = stacked([BUILT_IN, internal, layer(block, "dead_letter", spans)])
        topic = self.expansion.topics.topic(
            name, settings, self.expansion.document.at(*at), f"dead letters of connector/{self.name}", rules(block)
        )
        self.expansion.add(topic)
        values = ("all", name, str(topic.replication_factor), "true")
        for key, value in zip(OF_DEAD_LETTERS, values, strict=True):
            if key not in config and key not in (own.get("config") or {}):
                config[key], sources[f"/config/{key}"] = value, "dead_letter"
        return name

    # -- config ---------------------------------------------------------------------------------------------------
    def _config(
        self, own: Mapping[str, Any], scope: Scope, tables: Sequence[Table]
    ) -> tuple[dict[str, Text], dict[str, str]]:
        config: dict[str, Text] = {}
        sources: dict[str, str] = {}
        for key, text in self.template.config.items():
            value = self.own_text(text, scope, self.path) if isinstance(text, str) else text
            if value is not None and key not in (own.get("config") or {}):
                config[key], sources[f"/config/{key}"] = _string(value), f"template {self.template.name}"
        java_class = own.get("class") or self.template.java_class
        if java_class:
            config["connector.class"] = str(java_class)
        for key, text in self._columns(own, with_signals(tables, plain(config), own), scope).items():
            config[key], sources[f"/config/{key}"] = text, "tables"
        for key, value in (own.get("config") or {}).items():
            self._set(config, sources, key, value)
        self._report_keys_without_value()
        self._old_values(config)
        return config, sources

    def _report_keys_without_value(self) -> None:
        """Report each setting whose value is missing or, as null, leaves out nothing."""
        written = self.block.get("config")
        if not isinstance(written, dict) or None not in written.values():
            return
        known = {*self.template.config, *self.template.renamed, "connector.class"}
        known |= {*OF_DEAD_LETTERS} if self.block.get("dead_letter") else set()
        path = (*self.path, "config")
        self.expansion.problems += keys.problems(self.expansion.document, path, written, known)

    def _columns(self, own: Mapping[str, Any], tables: Sequence[Table], scope: Scope) -> dict[str, str]:
        """The properties that the tables' `columns:` and `key:` make."""
        if not any(table.settings.get("columns") or table.settings.get("key") for table in tables):
            return {}

        def column(table: Table, name: str) -> str:
            if "," in name and "regex" not in self.template.table["column"]:
                raise Unwritable(name, table.at)
            if is_pattern(name) and (wrong := problem_of(name)):
                self._no_regex(name, wrong, table.at)
            include = f"(?:{table.include})" if table.is_pattern else table.include
            return str(
                self.own_text(self.template.table["column"], scope.with_names(include=include, column=name), table.at)
            )

        def named(kind: str, **values: object) -> str:
            if kind not in self.template.columns:
                raise Unsupported(kind)
            return str(self.own_text(self.template.columns[kind], scope.with_names(**values), self.path))

        at = (*self.path, "tables")
        try:
            found = column_settings(tables, column, named)
        except Unsupported as kind:
            known = ", ".join(self.template.columns) or "nothing"
            detail, help = f"{self.template.name} cannot {kind} columns", f"it can: {known}"
            self.expansion.report("K228", "a setting of columns that this connector does not have", detail, at, help)
            return {}
        except Unwritable as name:
            detail = f"{name}: {self.template.name} cuts its list there"
            self.expansion.report("K228", "a name that this list cannot hold", detail, name.at, "write another pattern")
            return {}
        for key in found.keys() & (own.get("config") or {}).keys():
            help = "keep it under `config:` or at the tables"
            self.expansion.report(
                "K211", "declared twice", f"{key}, by the tables and here", (*self.path, "config", key), help
            )
        return found

    def _set(self, config: dict[str, Text], sources: dict[str, str], key: str, value: Any) -> None:
        """One property as the stack says it, under the name that it has today."""
        at: KEY = (*self.path, "config", key)
        if isinstance(value, dict):
            self.expansion.report("K108", "a connector setting is a map", key, at, "Connect's settings are texts")
            return
        name = self.template.renamed.get(key, key)
        if name != key:
            self.expansion.problems.append(
                warning(
                    "K217",
                    "an old name",
                    f"{key} is {name} today",
                    help="kplan sets the new one; rename it",
                    span=self.expansion.document.key_at(*at),
                )
            )
        if value is None:
            config.pop(name, None)
            return
        config[name], sources[f"/config/{name}"] = _string(value), "connector"

    def _literals(self, config: dict[str, Text], origin: Origin) -> None:
        """Reports each secret that is written out, and takes it for one from here on."""
        for key, value in list(config.items()):
            if isinstance(value, Secret) or not isinstance(conceal(key, value), Secret):
                continue
            config[key] = conceal(key, value)
            self.expansion.problems.append(
                error(
                    "K210",
                    "a secret is written in the stack",
                    key,
                    span=origin.at(f"/config/{key}"),
                    help="use a variable with `sensitive: true`, or a reference that Connect resolves, such as "
                    "${file:/run/db.properties:password}",
                )
            )

    def _old_values(self, config: dict[str, Text]) -> None:
        for key, old in self.template.values.items():
            value = config.get(key)
            if isinstance(value, str) and value in old:
                config[key] = old[value]
                self.expansion.problems.append(
                    warning(
                        "K217",
                        "an old name",
                        f"{key}: {value} is {old[value]} today",
                        help="kplan sets the new one; rename it",
                        span=self.expansion.document.at(*self._says(key)),
                        address=f"connector/{self.name}",
                    )
                )

    def _tell_old_values(self, config: Mapping[str, Text], known: Blueprint) -> None:
        """Warns of values that Debezium has renamed; a connector without a template is sent as it is written."""
        for key, old in known.values.items():
            value = config.get(key)
            if isinstance(value, str) and value in old:
                self.expansion.problems.append(
                    warning(
                        "K217",
                        "an old name",
                        f"{key}: {value} is {old[value]} today",
                        help="without a template it is sent as it stands; rename it",
                        span=self.expansion.document.at(*self._says(key)),
                        address=f"connector/{self.name}",
                    )
                )

    def _says(self, key: str) -> KEY:
        """Where the block says what the connector's property `key` is."""
        return (
            (*self.path, "config", key)
            if key in (self.block.get("config") or {})
            else self._mentioned(self.template.config.get(key))
        )

    def _connector(
        self,
        own: Mapping[str, Any],
        config: dict[str, Text],
        sources: dict[str, str],
        feeds: Feeds,
        dead: str,
        tables: Sequence[Table],
        unique: tuple[str, ...],
    ) -> Connector:
        document = self.expansion.document
        spans = {f"/config/{key}": document.key_at(*self.path, "config", key) for key in self.block.get("config") or {}}
        for key, text in self.template.config.items():
            spans.setdefault(f"/config/{key}", document.at(*self._mentioned(text)))
        named = next((key for key in ("class", "template") if key in self.block), "")
        spans.setdefault("/config/connector.class", document.at(*self.path, *filter(None, [named])))
        spans |= {f"/tables/{table.name}": document.key_at(*table.at) for table in tables if table.at}
        if "on_delete" in self.block:
            spans["/on_delete"] = document.key_at(*self.path, "on_delete")
        origin = Origin(document.key_at(*self.path), spans, sources)
        self._literals(config, origin)
        names = [] if dead == "" else [dead]
        topics = config.get("topics")
        reads = tuple(n.strip() for n in topics.split(",") if n.strip()) if isinstance(topics, str) else ()
        return Connector(
            self.name,
            config,
            own.get("state") or "running",
            tuple(feeds.names) + tuple(names),
            reads,
            unique,
            feeds.heartbeat,
            origin,
            rules(own),
        )

    def _mentioned(self, text: Any) -> KEY:
        """Where the block says what the template's setting `text` is made of."""
        if isinstance(text, str):
            if "tables" in text and "tables" in self.block:
                return (*self.path, "tables")
            match = re.search(r"\bp((?:\.\w+)+)", text)
            parts = match.group(1).strip(".").split(".") if match else []
            for n in range(len(parts), 0, -1):
                if _holds(self.block, parts[:n]):
                    return (*self.path, *parts[:n])
        return self.path


def _holds(block: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if not isinstance(block, Mapping) or part not in block:
            return False
        block = block[part]
    return True


def _filled(value: Any, schema: Mapping[str, Any]) -> Any:
    """`value` with the schema's defaults; a declared property without one is None, so a template may ask for it."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return schema.get("default") if value is None else value
    given = value if isinstance(value, Mapping) else {}
    return {**given, **{key: _filled(given.get(key), each) for key, each in properties.items()}}


def _string(value: Any) -> Text:
    """As Connect stores it: texts, lower-case booleans, lists joined by commas."""
    if isinstance(value, Secret):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(str(_string(each)) for each in value)
    return str(value)


def plain(config: Mapping[str, Text]) -> dict[str, str]:
    """The settings that may be in a topic's name: those that are no secret, and no list of a thousand tables."""
    return {key: value for key, value in config.items() if isinstance(value, str) and len(value) <= LONGEST}

"""Connector templates, and how a connector block becomes a connector with its topics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kplan.diagnostics import Diagnostic, error, warning
from kplan.model import Connector, Origin, Secret, Text, conceal
from kplan.settings import BUILT_IN, Layer, layer, only, rules, stacked
from kplan.template import Scope, is_template, snake, topic_name

if TYPE_CHECKING:
    from kplan.expand import KEY, Expansion
    from kplan.source import Document

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
    + ("tables", "topics", "new_tables", "dead_letter", "for_each", "description")
)
CONNECTOR_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
TABLE = re.compile(r"[\w$#@ .-]+\Z")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A connector template, with what it extends merged in. `document` is its own file, for places of problems."""

    name: str
    java_class: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unique: tuple[str, ...] = ()
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)


def blueprint(
    name: str, read: Callable[[str], tuple[Document | None, Sequence[Diagnostic]]], seen: tuple[str, ...] = ()
) -> tuple[Blueprint | None, list[Diagnostic]]:
    """The template `name` with all it extends; `read` gives a template's document or None."""
    document, diagnostics = read(name)
    problems = list(diagnostics)
    if document is None or problems:
        return None, problems
    data = document.data
    parameters = data.get("parameters") or {}
    if parameters and "properties" not in parameters and "type" not in parameters:
        parameters = {"type": "object", "properties": parameters}  # the short form: names and their schemas
    parent = Blueprint(name)
    if data.get("extends"):
        if data["extends"] in (*seen, name) or len(seen) > 8:
            return None, [
                error(
                    "K208",
                    "templates extend each other",
                    " -> ".join((*seen, name, data["extends"])),
                    span=document.at("extends"),
                )
            ]
        found, problems = blueprint(data["extends"], read, (*seen, name))
        if found is None:
            return None, problems or [
                error("K207", "there is no such template", data["extends"], span=document.at("extends"))
            ]
        parent = found
    return Blueprint(
        name,
        data.get("class") or parent.java_class,
        merged(parent.parameters, parameters),
        merged(parent.config, data.get("config") or {}),
        data.get("table") or parent.table,
        merged(parent.topics, data.get("topics") or {}),
        merged(parent.defaults, data.get("defaults") or {}),
        tuple(dict.fromkeys([*parent.unique, *(data.get("unique") or ())])),
        merged(parent.values, data.get("values") or {}),
        merged(parent.renamed, data.get("renamed") or {}),
    ), []


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merge, `required` lists add up, and all else of `over` wins."""
    result = dict(under)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = merged(old, value)
        elif key == "required" and isinstance(old, list) and isinstance(value, list):
            result[key] = [*old, *value]
        else:
            result[key] = value
    return result


@dataclass(slots=True)
class ConnectorBuilder:
    """One connector block on its way to a connector, its tables' topics and its internal topics."""

    expansion: Expansion
    path: KEY
    block: Mapping[str, Any]
    scope: Scope
    name: str = ""
    template: Blueprint = field(default_factory=lambda: Blueprint(""))
    feeds: dict[str, None] = field(default_factory=dict)
    heartbeat: str = ""

    @property
    def key(self) -> str:
        return str(self.path[1])

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
        tables = self._tables(own, scope)
        databases = sorted({t.split(".")[0] for t in tables.values()})
        scope = scope.with_names(tables=[_regex(t) for t in tables.values()], databases=[_regex(d) for d in databases])
        config, sources = self._config(own, scope)
        self._internal_topics(scope)
        self._declared_topics(own)
        dead = self._dead_letter(own, config, sources)
        if not self.expansion.inputs.environment.has_connect:
            self._report(
                "K218", "this environment has no Connect", self.name, "add `connect: {url: …}` to the environment"
            )
        self.expansion.add(self._connector(own, config, sources, dead))

    # -- which template, which name -------------------------------------------------------------------------------
    def _find_blueprint(self) -> bool:
        name = self.block.get("template")
        if name is None:
            if "class" not in self.block and "connector.class" not in (self.block.get("config") or {}):
                self._report(
                    "K224",
                    "a connector has neither template nor class",
                    self.key,
                    "write `template: debezium-postgres` or `class: org.example.MyConnector`",
                )
                return False
            self._unknown_keys({})
            return True
        rendered = self.expansion.value(name, (*self.path, "template"), self.scope)
        found, problems = self.expansion.inputs.find(str(rendered))
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
                    f"did you mean `{close[0]}`?" if close else "a raw Connect property stands under `config:`",
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
        if CONNECTOR_NAME.match(self.name):
            return True
        self._report("K109", "illegal connector name", repr(self.name), "1 to 249 of a-z A-Z 0-9 . _ -")
        return False

    # -- parameters -----------------------------------------------------------------------------------------------
    def _parameters(self, own: Mapping[str, Any]) -> dict[str, Any] | None:
        """The block's own keys with the template's defaults, None where one is missing or wrong."""
        if not self.template.name:
            return {}
        given = {k: v for k, v in own.items() if k in (self.template.parameters.get("properties") or {})}
        before = len(self.expansion.problems)
        self._judge(given, self.template.parameters, self.path)
        return None if len(self.expansion.problems) > before else _filled(given, self.template.parameters)

    def _judge(self, value: Any, schema: Mapping[str, Any], path: KEY) -> None:
        """Reports what of `value` does not meet the JSON Schema of the template's parameters."""
        from jsonschema import Draft202012Validator

        for e in Draft202012Validator(schema).iter_errors(shown(value)):
            at = (*path, *e.absolute_path)
            if e.validator == "required":
                missing = [key for key in e.validator_value if key not in e.instance]
                dotted = ".".join(map(str, [*at[2:], missing[0] if missing else ""]))
                detail = f"{self.template.name} needs `{dotted}`"
                self.expansion.report("K221", "a template's parameter is missing", detail, at, "add it", key=True)
            elif e.validator == "type" and isinstance(e.instance, dict) is False and e.instance is None:
                continue  # a template that could not be rendered, reported there
            else:
                self.expansion.report(
                    "K221",
                    "a template's parameter has a value that it may not have",
                    f"{'.'.join(map(str, at[2:]))}: {e.message}",
                    at,
                    str(e.schema.get("description", "")),
                )

    # -- tables and topics ----------------------------------------------------------------------------------------
    def _tables(self, own: Mapping[str, Any], scope: Scope) -> dict[str, str]:
        """Each table as written, with the name that the connector knows it by; its topic is declared on the way."""
        names: dict[str, str] = {}
        for table, settings, at in self._entries("tables", own, scope):
            if table in names:
                self.expansion.report("K211", "declared twice", f"table {table}", at)
                continue
            full = self._table(table, settings, at, scope)
            if full:
                names[table] = full
        return names

    def _entries(self, part: str, own: Mapping[str, Any], scope: Scope) -> Iterator[tuple[str, Mapping[str, Any], KEY]]:
        """The named blocks of `tables:` or `topics:`, each with its place; a list holds names alone."""
        written, rendered = self.block.get(part), own.get(part)
        at: KEY = (*self.path, part)
        if isinstance(rendered, list):
            for i, name in enumerate(rendered):
                yield str(name), {}, (*at, i) if isinstance(written, list) else at
        elif isinstance(written, dict) and isinstance(rendered, dict):
            for key in written:
                name = self.expansion.value(key, (*at, key), scope)
                if name is not None:
                    yield str(name), rendered.get(str(name)) or {}, (*at, key)
        elif isinstance(rendered, dict):
            for key, settings in rendered.items():
                yield str(key), settings or {}, at

    def _table(self, table: str, settings: Mapping[str, Any], at: KEY, scope: Scope) -> str | None:
        expansion = self.expansion
        if not self.template.table:
            expansion.report(
                "K206",
                "unknown key of a connector",
                f"tables: {self.template.name or 'a raw connector'} has no tables",
                (*self.path, "tables"),
                key=True,
            )
            return None
        if not TABLE.match(table):
            if self.block.get("topics"):
                return table
            expansion.report(
                "K216",
                "a pattern of tables has no topics",
                table,
                at,
                "name the topics under the connector's `topics:`, or list the tables one by one",
            )
            return None
        inner = scope.with_names(table=table)
        name = self._own(self.template.table["name"], inner, at)
        topic = self._own(self.template.table["topic"], inner.with_names(name=name), at)
        topic = settings.get("topic") or topic_name(topic)
        self.feeds[topic] = None
        if not settings.get("ignore_topic"):
            spans = expansion.spans(at, settings)
            layers: list[Layer] = [BUILT_IN, self._defaults(), *expansion.outer, layer(settings, "table", spans)]
            span = expansion.document.key_at(*at) if isinstance(at[-1], str) else expansion.document.at(*at)
            note = f"for table {name} of connector/{self.name}"
            expansion.add(expansion.topics.topic(topic, stacked(layers), span, note, rules(settings)))
        return str(name)

    def _own(self, text: str, scope: Scope, at: KEY) -> Any:
        """A text of the template's own, rendered; its problems stand at the connector's block."""
        return self.expansion.value(text, at, scope, secret=True) if is_template(text) else text

    def _defaults(self) -> Layer:
        return layer(self.template.defaults.get("topic") or {}, f"template {self.template.name}", {})

    def _internal_topics(self, scope: Scope) -> None:
        """Declares the topics that the template itself needs. From outside only replicas reach them."""
        outside = stacked([self._defaults(), *self.expansion.outer])
        for key, settings in self.template.topics.items():
            name = self._own(key, scope, self.path)
            if not name:
                continue
            role = str(settings.get("role", "internal"))
            self.feeds[name] = None
            self.expansion.internal.add(name)
            if role == "heartbeat":
                self.heartbeat = name
            layers = [BUILT_IN, only(outside), layer(settings, f"template {self.template.name}", {})]
            span = self.expansion.document.key_at(*self.path)
            topic = self.expansion.topics.topic(
                name, stacked(layers), span, f"{role} of connector/{self.name}", rules({})
            )
            if topic.address not in self.expansion.resources:  # the stack may say itself how it wants it
                self.expansion.add(topic)

    def _declared_topics(self, own: Mapping[str, Any]) -> None:
        """Declares what stands under the connector's own `topics:`."""
        for name, settings, at in self._entries("topics", own, self.scope):
            spans = self.expansion.spans(at, settings)
            layers = [BUILT_IN, self._defaults(), *self.expansion.outer, layer(settings, "topic", spans)]
            self.feeds[name] = None
            span, note = self.expansion.document.key_at(*at), f"of connector/{self.name}"
            self.expansion.add(self.expansion.topics.topic(name, stacked(layers), span, note, rules(settings)))

    def _dead_letter(self, own: Mapping[str, Any], config: dict[str, Text], sources: dict[str, str]) -> str:
        """Declares the dead-letter topic and sets what makes a sink use it."""
        block = own.get("dead_letter")
        if not block:
            return ""
        name = str(block["topic"])
        at: KEY = (*self.path, "dead_letter")
        spans = self.expansion.spans(at, self.block["dead_letter"])
        settings = stacked([BUILT_IN, *self.expansion.outer, layer(block, "dead_letter", spans)])
        topic = self.expansion.topics.topic(
            name, settings, self.expansion.document.at(*at), f"dead letters of connector/{self.name}", rules(block)
        )
        self.expansion.add(topic)
        extra = {
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": name,
            "errors.deadletterqueue.topic.replication.factor": str(topic.replication_factor),
            "errors.deadletterqueue.context.headers.enable": "true",
        }
        for key, value in extra.items():
            if key not in config:
                config[key], sources[f"/config/{key}"] = value, "dead_letter"
        return name

    # -- config ---------------------------------------------------------------------------------------------------
    def _config(self, own: Mapping[str, Any], scope: Scope) -> tuple[dict[str, Text], dict[str, str]]:
        config: dict[str, Text] = {}
        sources: dict[str, str] = {}
        for key, text in self.template.config.items():
            value = self._own(text, scope, self.path) if isinstance(text, str) else text
            if value is not None and key not in (own.get("config") or {}):
                config[key], sources[f"/config/{key}"] = _string(value), f"template {self.template.name}"
        java_class = own.get("class") or self.template.java_class
        if java_class:
            config["connector.class"] = str(java_class)
        for key, value in (own.get("config") or {}).items():
            self._set(config, sources, key, value)
        self._old_values(config)
        return config, sources

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
                        span=self.expansion.document.at(*self.path),
                        address=f"connector/{self.name}",
                    )
                )

    def _connector(
        self, own: Mapping[str, Any], config: dict[str, Text], sources: dict[str, str], dead: str
    ) -> Connector:
        document = self.expansion.document
        spans = {f"/config/{key}": document.key_at(*self.path, "config", key) for key in self.block.get("config") or {}}
        for key, text in self.template.config.items():
            spans.setdefault(f"/config/{key}", document.at(*self._mentioned(text)))
        origin = Origin(document.key_at(*self.path), spans, sources)
        self._literals(config, origin)
        names = [] if dead == "" else [dead]
        topics = config.get("topics")
        reads = tuple(n.strip() for n in topics.split(",") if n.strip()) if isinstance(topics, str) else ()
        return Connector(
            self.name,
            config,
            own.get("state") or "running",
            tuple(self.feeds) + tuple(names),
            reads,
            self.template.unique,
            self.heartbeat,
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

    def _report(self, code: str, summary: str, detail: str, help: str = "") -> None:
        self.expansion.report(code, summary, detail, self.path, help, key=True)


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


def shown(value: Any) -> Any:
    """The value with the reference of each secret in its place."""
    if isinstance(value, Secret):
        return value.ref
    if isinstance(value, dict):
        return {key: shown(child) for key, child in value.items()}
    if isinstance(value, list):
        return [shown(child) for child in value]
    return value


def _string(value: Any) -> Text:
    """As Connect stores it: texts, lower-case booleans, lists joined by commas."""
    if isinstance(value, Secret):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(str(_string(each)) for each in value)
    return str(value)


def _regex(name: str) -> str:
    """A table's name as the regular expression that matches it alone; what is a pattern stays one."""
    return re.sub(r"([.$#\[\](){}^*+?|\\])", r"\\\1", name) if TABLE.match(name) else name

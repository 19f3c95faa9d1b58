"""Connector templates, and how a connector block becomes a connector with its topics."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from kplan.diagnostics import codes, warning
from kplan.kinds.connector.block import ConnectorBlock
from kplan.kinds.connector.config import OF_DEAD_LETTERS, ConfigBuilder, plain, text_of
from kplan.kinds.connector.debezium.engines import is_readable
from kplan.kinds.connector.defaults import Inheritance
from kplan.kinds.connector.names import CONNECTOR_NAME, DEFAULT, NAME_CHARACTERS
from kplan.kinds.connector.parameters import read_parameters
from kplan.kinds.connector.routing import routing
from kplan.kinds.connector.shorthands import SHORTHANDS, list_settings
from kplan.kinds.connector.tables import (
    Table,
    as_entry,
    databases,
    describes_topic,
    find_gained_entries,
    include_list,
    is_pattern,
    problem_of,
    split,
    wording,
)
from kplan.kinds.connector.topics import Feeds
from kplan.kinds.expansion import KEY, AskedLevel, ExpansionContext
from kplan.kinds.topic.settings import BUILT_IN, layer, only, rules, stack_layers
from kplan.language.keys import missing_blank
from kplan.language.template import Scope, snake
from kplan.model import Connector, Origin, Secret
from kplan.values import dataclass

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
    + ("on", "tables", "topics", "new_tables", "dead_letter", "for_each", "description", "on_delete", "schemas")
    + ("team", "labels", "defaults", "template_defaults")
    + SHORTHANDS
)
MAX_DDL_BYTES = 20_000_000
MIRRORS = "org.apache.kafka.connect.mirror.Mirror"  # how the connectors of MirrorMaker 2 begin
EXCLUSION = "!"  # before an entry of `tables:`: what the patterns beside it leave out


def _lost_letters(text: str) -> str:
    """Return the letters of `text` that `snake` cannot keep, each once."""
    return "".join(dict.fromkeys(letter for letter in text if letter.isalnum() and not letter.isascii()))


@dataclass(slots=True)
class ConnectorBuilder(ConnectorBlock):
    """One connector block on its way to a connector, its tables' topics and its internal topics."""

    def build(self, inheritance: Inheritance) -> None:
        if not self._find_blueprint() or not self._find_name():
            return
        if not inheritance.apply(self) or not self._has_class():
            return
        given = {k: v for k, v in self.block.items() if k not in ("for_each", "template")}
        secret = given.keys() - COMMON | {"config", *SHORTHANDS}
        own = self.expansion.block(given, self.path, self.scope, secret=secret)
        if own is None:
            return
        self.alias = str(own.get("on") or DEFAULT)
        parameters = read_parameters(self, own)
        if parameters is None:
            return
        scope = self.scope.with_names(p=parameters)
        scope = scope.with_names(kplan={**scope.names["kplan"], "connector": self.name})
        tables, excluded = self._tables(own, scope)
        listed = [as_entry(each) for each in include_list(tables, excluded)]
        scope = scope.with_names(tables=listed, databases=databases(tables))
        settings = ConfigBuilder(self)
        settings.build(own, scope, tables)
        config = settings.config
        if isinstance(config.get("topic.prefix"), Secret):
            self.report(
                codes.K209, "a sensitive value would be shown here", "topic.prefix", "it is in the topics' names"
            )
            return
        feeds = Feeds(self, routing(plain(config)))
        feeds.declare(own, tables, scope.with_names(config=plain(config)))
        known = self.template if self.template.name else feeds.known_class(config)
        if known is not None and known is not self.template:
            settings.warn_of_old_values(known)
        dead = self._dead_letter(own, settings)
        feeds.expect(own, tables, config, scope.with_names(config=plain(config)))
        self._ask_for_levels(own, feeds)
        if not _has_connect(self):
            return
        self.expansion.add(self._connector(own, settings, feeds, dead, tables, known.unique if known else ()))

    def _ask_for_levels(self, own: Mapping[str, Any], feeds: Feeds) -> None:
        """Ask for the level of the subjects that the converters will register for the tables' topics."""
        asked = own.get("schemas") or {}
        if not asked:
            return
        if not self.expansion.surroundings.has_registry:
            environment = self.expansion.surroundings.name
            help = "add `schema_registry: {url: …}` to the environment"
            detail = f"{self.name}; environment {environment}"
            self.report(codes.K275, "this environment has no schema registry", detail, help)
        elif asked.get("compatibility"):
            topics = [name for name in feeds.names if name not in self.expansion.internal]
            path = (*self.path, "schemas")
            level = AskedLevel(self.full_name, topics, asked["compatibility"], path, rules(asked))
            self.expansion.asked_levels.append(level)

    # -- which template, which name -------------------------------------------------------------------------------
    def _find_blueprint(self) -> bool:
        name = self.block.get("template")
        if name is None:
            self._unknown_keys({})
            return True
        rendered = self.expansion.value(name, (*self.path, "template"), self.scope)
        found, problems = self.expansion.find(str(rendered))
        self.expansion.problems += [p.with_span(self.expansion.document.at(*self.path, "template")) for p in problems]
        if found is None:
            return False
        self.template = found
        self._unknown_keys(found.parameters.get("properties") or {})
        return True

    def _has_class(self) -> bool:
        """Report a block of which nothing tells which connector it is."""
        if self.template.name or "class" in self.block or "connector.class" in (self.block.get("config") or {}):
            return True
        self.report(
            codes.K224,
            "a connector has neither template nor class",
            self.key,
            "write `template: debezium-postgres` or `class: org.example.MyConnector`",
        )
        return False

    def _unknown_keys(self, known: Mapping[str, Any]) -> None:
        for key in self.block:
            if key not in COMMON and key not in known:
                import difflib

                close = difflib.get_close_matches(key, [*COMMON, *known], 1)
                what = f"template {self.template.name}" if self.template.name else "a connector without a template"
                self.expansion.report(
                    codes.K206,
                    "unknown key of a connector",
                    f"{key}: {what} has no such key",
                    (*self.path, key),
                    missing_blank(key, self.block[key])
                    or (f"did you mean `{close[0]}`?" if close else "write a raw Connect property under `config:`"),
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
        self.report(codes.K109, "illegal connector name", repr(self.name), f"1 to 249 of {NAME_CHARACTERS}")
        return False

    def _warn_of_lost_letters(self, lost: str) -> None:
        detail = f"{self.name}: {', '.join(lost)} became _"
        help = f"write `name:` beside `client:`; `name: {self.name}` keeps this one"
        span = self.expansion.document.at(*self.path, "client")
        self.expansion.problems.append(
            warning(codes.K247, "a derived name loses letters", detail, help=help, span=span)
        )

    # -- tables and topics ----------------------------------------------------------------------------------------
    def _how_to_list_tables(self) -> str:
        """Return the command that lists the tables; empty where kplan cannot read the database."""
        is_known = is_readable(self.template.java_class)
        return f": `kplan discover {shlex.quote(self.name)} STACK` prints them" if is_known else ""

    def _tables(self, own: Mapping[str, Any], scope: Scope) -> tuple[list[Table], list[str]]:
        """Return the tables and patterns of `tables:`, and what the patterns exclude."""
        found: dict[str, Table] = {}
        excluded: list[str] = []
        patterns = False
        if own.get("tables") and "name" not in self.template.table:
            detail = f"tables: {self.template.name or 'a raw connector'} has no tables"
            at = (*self.path, "tables")
            self.expansion.report(codes.K206, "unknown key of a connector", detail, at, key=True)
            return [], []
        for written, settings, at in self.entries("tables", own, scope):
            table = self._table(written, settings, at, scope)
            patterns |= is_pattern(written) and not written.startswith(EXCLUSION)
            if table is None:
                continue
            if written.startswith(EXCLUSION):
                excluded.append(table.include)
            elif table.name in found:
                self.expansion.report(codes.K211, "declared twice", f"table {table.name}", at)
            else:
                found[table.name] = table
        if excluded and not found and not self.block.get("topics"):
            all_others = f"all tables but {', '.join(excluded)}"
            help = "name the topics under the connector's `topics:`, or list the tables one by one"
            help += self._how_to_list_tables()
            self.expansion.report(
                codes.K216, "a pattern of tables has no topics", all_others, (*self.path, "tables"), help
            )
        if excluded and found and not patterns:
            self.report(codes.K216, "nothing to exclude from", excluded[0], "the other tables are not captured anyway")
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
            left = find_gained_entries(split(str(text_of(value))), listed) if name == kept else [key]
            if left:
                what = f"{key}, by `tables:` and here"
                what += f", where {wording(left[0])} is missing" if name == kept else ""
                at, help = (*self.path, "config", key), "keep it under `config:` or `tables:`; `!` excludes there"
                self.expansion.report(codes.K211, "declared twice", what, at, help, key=True)

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
        """Return the table for a pattern, which makes no topic itself: kplan cannot tell which tables it stands for."""
        if wrong := problem_of(written):
            self.report_bad_pattern(written, wrong, at)
        problem, help = "", "name the topics under the connector's `topics:`"
        if needs_topics and not self.block.get("topics"):
            problem = "a pattern of tables has no topics"
            help += ", or list the tables one by one"
            help += self._how_to_list_tables()
        elif describes_topic(settings):
            problem = "settings of a topic at a pattern of tables"
        if problem:
            self.expansion.report(codes.K216, problem, written, at, help)
        return Table(written, written, written, settings, at)

    def _dead_letter(self, own: Mapping[str, Any], settings: ConfigBuilder) -> str:
        """Declares the dead-letter topic and sets what makes a sink use it."""
        block = own.get("dead_letter")
        if not block:
            return ""
        name = str(block["topic"])
        at: KEY = (*self.path, "dead_letter")
        spans = self.expansion.spans(at, self.block["dead_letter"])
        internal = only(
            stack_layers(self.expansion.outer)
        )  # Kafka refuses records without a key where a topic is compacted
        layers = stack_layers([BUILT_IN, internal, layer(block, "dead_letter", spans)])
        topic = self.expansion.topics.topic(
            name, layers, self.expansion.document.at(*at), f"dead letters of connector/{self.full_name}", rules(block)
        )
        self.expansion.add(topic)
        values = ("all", name, str(topic.replication_factor), "true")
        for key, value in zip(OF_DEAD_LETTERS, values, strict=True):
            if key not in settings.config and key not in (own.get("config") or {}):
                settings.config[key], settings.sources[f"/config/{key}"] = value, "dead_letter"
        return name

    def _connector(
        self,
        own: Mapping[str, Any],
        settings: ConfigBuilder,
        feeds: Feeds,
        dead: str,
        tables: Sequence[Table],
        unique: tuple[str, ...],
    ) -> Connector:
        document = self.expansion.document
        spans = {f"/config/{each.key}": document.key_at(*self.path, *each.path) for each in list_settings(self.block)}
        spans |= {f"/config/{k}": document.key_at(*self.path, "config", k) for k in self.block.get("config") or {}}
        for key, text in self.template.config.items():
            spans.setdefault(f"/config/{key}", document.at(*settings.mention(text)))
        named = next((key for key in ("class", "template") if key in self.block), "")
        spans.setdefault("/config/connector.class", document.at(*self.path, *filter(None, [named])))
        spans |= {f"/tables/{table.name}": document.key_at(*table.at) for table in tables if table.at}
        spans |= {
            f"/config/{self.template.renamed.get(str(path[1]), str(path[1]))}": span
            for path, span in self.override.spans.items()
            if path[:1] == ("config",) and len(path) == 2
        }
        if "on_delete" in self.block:
            spans["/on_delete"] = document.key_at(*self.path, "on_delete")
        origin = Origin(document.key_at(*self.path), spans, settings.sources)
        settings.conceal_literals(origin)
        names = [] if dead == "" else [dead]
        is_mirror = str(settings.config.get("connector.class")).startswith(MIRRORS)  # `topics` are another cluster's
        topics = None if is_mirror else settings.config.get("topics")
        reads = tuple(n.strip() for n in topics.split(",") if n.strip()) if isinstance(topics, str) else ()
        return Connector(
            self.full_name,
            settings.config,
            self.override.data.get("state") or own.get("state") or "running",
            tuple(feeds.names) + tuple(names),
            reads,
            unique,
            feeds.heartbeat,
            _read_ddl(self.expansion, own, self.path),
            origin=origin,
            rules=rules(own),
        )


def _read_ddl(expansion: ExpansionContext, own: Mapping[str, Any], path: KEY) -> tuple[str, str]:
    """Return the path and the text of the file that describes the connector's tables; empty where there is none."""
    name = (own.get("schemas") or {}).get("ddl")
    found = expansion.read_text(str(name), (*path, "schemas", "ddl"), MAX_DDL_BYTES) if name else None
    return found or ("", "")


def _has_connect(block: ConnectorBlock) -> bool:
    """Report a connector whose Connect the environment does not have; False where it has others."""
    environment = block.expansion.surroundings
    if not environment.connects:
        help = "add `connect: {url: …}` to the environment" if environment.file else "add --connect URL"
        block.report(codes.K218, "this environment has no Connect", block.name, help)
    elif block.alias not in environment.connects:
        at, help = (*block.path, "on"), f"it has {', '.join(environment.connects)}"
        detail = f"{block.alias}; environment {environment.name}"
        block.expansion.report(codes.K218, "this environment has no such Connect", detail, at, help)
        return False
    return True

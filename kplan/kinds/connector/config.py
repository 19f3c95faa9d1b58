"""The settings of a connector: those of its template, of its tables and of its own, in that order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from kplan.diagnostics import codes, error, warning
from kplan.kinds.connector.block import ConnectorBlock
from kplan.kinds.connector.shorthands import ShortSetting, find_place, list_settings
from kplan.kinds.connector.tables import (
    Table,
    UnsupportedPattern,
    Unwritable,
    column_settings,
    is_pattern,
    problem_of,
    with_signals,
)
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.expansion import KEY
from kplan.language import keys
from kplan.language.template import Scope
from kplan.model import Origin, Secret, Text, conceal
from kplan.patterns import late_pattern
from kplan.values import dataclass

OF_DEAD_LETTERS = (
    "errors.tolerance",
    "errors.deadletterqueue.topic.name",
    "errors.deadletterqueue.topic.replication.factor",
    "errors.deadletterqueue.context.headers.enable",
)
PARAMETER = late_pattern(r"\bp\.(\w+)")  # in a template's text; of a map, such as `database`, the whole
OF_TABLES = late_pattern(r"\b(tables|databases)\b")
LONGEST = 10_000  # characters of a setting that templates for names of topics may read


@dataclass(slots=True)
class ConfigBuilder:
    """The settings of the block `of` on their way; `sources` says by path where each comes from."""

    of: ConnectorBlock
    config: dict[str, Text] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def build(self, own: Mapping[str, Any], scope: Scope, tables: Sequence[Table]) -> None:
        """Set what the template, the tables and the block's own `config:` say; the later wins."""
        config, sources = self.config, self.sources
        for key, text in self.of.template.config.items():
            if key not in self.of.template.always and not self._is_asked(own, text):
                continue
            value = self.of.own_text(text, scope, self.of.path) if isinstance(text, str) else text
            if value is not None and key not in (own.get("config") or {}):
                config[key], sources[f"/config/{key}"] = text_of(value), f"template {self.of.template.name}"
        java_class = own.get("class") or self.of.template.java_class
        if java_class:
            config["connector.class"] = str(java_class)
        for key, text in self._converters(own).items():
            config[key], sources[f"/config/{key}"] = text, "schemas"
        for key, text in self._columns(own, with_signals(tables, plain(config), own), scope).items():
            config[key], sources[f"/config/{key}"] = text, "tables"
        for setting in list_settings(own):
            self._set_short(setting, own.get("config") or {})
        for key, value in (own.get("config") or {}).items():
            self._set(key, value)
        self._override()
        self._report_keys_without_value()
        self._rename_old_values()

    def _is_asked(self, own: Mapping[str, Any], text: Any) -> bool:
        """Whether a template's setting counts: without its defaults only what the block's own keys make."""
        if own.get("template_defaults", True):
            return True
        if not isinstance(text, str):
            return False
        if OF_TABLES.search(text) and self.of.block.get("tables"):
            return True
        return any(self.of.block.get(name) is not None for name in PARAMETER.findall(text))

    def _converters(self, own: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the settings that the block's `schemas:` asks for."""
        asked = own.get("schemas")
        if not asked:
            return {}
        from kplan.kinds.connector.schemas import choose_settings, find_converter

        url = self.of.expansion.surroundings.registry_url
        if not url:
            return {}  # reported with the subjects
        converter = asked.get("converter") or find_converter(url)
        settings = choose_settings(asked["format"], converter, url)
        if not settings:
            detail = f"{converter} has no converter for {asked['format']}"
            at, help = (*self.of.path, "schemas", "format"), "write `format: avro`, or `converter: confluent`"
            self.of.expansion.report(codes.K276, "converters that kplan cannot choose", detail, at, help)
        return settings

    def _report_keys_without_value(self) -> None:
        """Report each setting whose value is missing or, as null, leaves out nothing."""
        written = self.of.block.get("config")
        if not isinstance(written, dict) or None not in written.values():
            return
        known = {*self.of.template.config, *self.of.template.renamed, "connector.class"}
        for shared in self.of.beneath:
            known |= (shared.data.get("config") or {}).keys() | {each.key for each in list_settings(shared.data)}
        known |= {*OF_DEAD_LETTERS} if self.of.block.get("dead_letter") else set()
        path = (*self.of.path, "config")
        self.of.expansion.problems += keys.problems(self.of.expansion.document, path, written, known)

    def _columns(self, own: Mapping[str, Any], tables: Sequence[Table], scope: Scope) -> dict[str, str]:
        """Return the properties that the tables' `columns:` and `key:` make."""
        if not any(table.settings.get("columns") or table.settings.get("key") for table in tables):
            return {}

        def column(table: Table, name: str) -> str:
            if "," in name and "regex" not in self.of.template.table["column"]:
                raise Unwritable(name, table.at)
            if is_pattern(name) and (wrong := problem_of(name)):
                self.of.report_bad_pattern(name, wrong, table.at)
            include = f"(?:{table.include})" if table.is_pattern else table.include
            return str(
                self.of.own_text(
                    self.of.template.table["column"], scope.with_names(include=include, column=name), table.at
                )
            )

        def name_columns(kind: str, **values: object) -> str:
            if kind not in self.of.template.columns:
                raise UnsupportedPattern(kind)
            return str(self.of.own_text(self.of.template.columns[kind], scope.with_names(**values), self.of.path))

        at = (*self.of.path, "tables")
        try:
            found = column_settings(tables, column, name_columns)
        except UnsupportedPattern as kind:
            known = ", ".join(self.of.template.columns) or "nothing"
            detail, help = f"{self.of.template.name} cannot {kind} columns", f"it can: {known}"
            self.of.expansion.report(
                codes.K228, "a setting of columns that this connector does not have", detail, at, help
            )
            return {}
        except Unwritable as name:
            detail = f"{name}: {self.of.template.name} cuts its list there"
            self.of.expansion.report(
                codes.K228, "a name that this list cannot hold", detail, name.at, "write another pattern"
            )
            return {}
        for key in found.keys() & (own.get("config") or {}).keys():
            help = "keep it under `config:` or at the tables"
            self.of.expansion.report(
                codes.K211, "declared twice", f"{key}, by the tables and here", (*self.of.path, "config", key), help
            )
        return found

    def _set_short(self, setting: ShortSetting, config: Mapping[str, Any]) -> None:
        """Set what the block's converters, transforms and predicates stand for."""
        at: KEY = (*self.of.path, *setting.path)
        if isinstance(setting.value, dict):
            help = "Connect's settings are texts: write the whole name, such as `json.schemas.enable: false`"
            detail = ".".join(map(str, setting.path))
            self.of.expansion.report(codes.K108, "a connector setting is a map", detail, at, help)
        elif setting.key in config:
            help = f"keep it under `config:` or `{setting.path[0]}:`"
            detail = f"{setting.key}, by `{setting.path[0]}:` and here"
            path: KEY = (*self.of.path, "config", setting.key)
            self.of.expansion.report(codes.K211, "declared twice", detail, path, help, key=True)
        elif setting.value is not None:
            source = self.of.find_source(setting.path)
            self.config[setting.key], self.sources[f"/config/{setting.key}"] = text_of(setting.value), source

    def _set(self, key: str, value: Any) -> None:
        """Set one property as the stack says it, under the name that it has today."""
        at: KEY = (*self.of.path, "config", key)
        if isinstance(value, dict):
            self.of.expansion.report(
                codes.K108, "a connector setting is a map", key, at, "Connect's settings are texts"
            )
            return
        name = self.of.template.renamed.get(key, key)
        if name != key:
            self.of.expansion.problems.append(
                warning(
                    codes.K217,
                    "an old name",
                    f"{key} is {name} today",
                    help="kplan sets the new one; rename it",
                    span=self.of.expansion.document.key_at(*at),
                )
            )
        if value is None:
            self.config.pop(name, None)
            return
        self.config[name], self.sources[f"/config/{name}"] = text_of(value), self.of.find_source(("config", key))

    def _override(self) -> None:
        """Set what the environment says of this connector."""
        environment = self.of.expansion.surroundings
        for key, value in (self.of.override.data.get("config") or {}).items():
            name = self.of.template.renamed.get(key, key)
            if value is None:
                self.config.pop(name, None)
            else:
                self.config[name] = text_of(value)
                self.sources[f"/config/{name}"] = f"override of environment {environment.name}"

    def conceal_literals(self, origin: Origin) -> None:
        """Report each secret that is written out, and take it for one from here on."""
        for key, value in list(self.config.items()):
            if isinstance(value, Secret) or not isinstance(conceal(key, value), Secret):
                continue
            self.config[key] = conceal(key, value)
            self.of.expansion.problems.append(
                error(
                    codes.K210,
                    "a secret is written in the stack",
                    key,
                    span=origin.at(f"/config/{key}"),
                    help="use a variable with `sensitive: true`, or a reference that Connect resolves, such as "
                    "${file:/run/db.properties:password}",
                )
            )

    def _rename_old_values(self) -> None:
        for key, value, today in self._old_values(self.of.template):
            self.config[key] = today
            self._warn_of_old_value(key, value, today, "kplan sets the new one; rename it")

    def warn_of_old_values(self, known: Blueprint) -> None:
        """Warn of values that Debezium has renamed; a connector without a template is sent as it is written."""
        for key, value, today in self._old_values(known):
            self._warn_of_old_value(key, value, today, "without a template kplan sends it unchanged; rename it")

    def _old_values(self, template: Blueprint) -> list[tuple[str, str, str]]:
        """Return each setting that has a value of an older Debezium: its key, that value, and the one of today."""
        values = ((key, self.config.get(key), names) for key, names in template.values.items())
        return [(key, value, names[value]) for key, value, names in values if isinstance(value, str) and value in names]

    def _warn_of_old_value(self, key: str, value: str, today: str, help: str) -> None:
        overridden = self.of.override.spans.get(("config", key))
        span, address = (
            overridden or self.of.expansion.document.at(*self._says(key)),
            f"connector/{self.of.full_name}",
        )
        detail = f"{key}: {value} is {today} today"
        self.of.expansion.problems.append(
            warning(codes.K217, "an old name", detail, help=help, span=span, address=address)
        )

    def _says(self, key: str) -> KEY:
        """Return where the block says what the connector's property `key` is."""
        place = find_place(self.of.block, key)
        return (*self.of.path, *place) if place else self.mention(self.of.template.config.get(key))

    def mention(self, text: Any) -> KEY:
        """Return where the block says what the template's setting `text` is made of."""
        if isinstance(text, str):
            if "tables" in text and "tables" in self.of.block:
                return (*self.of.path, "tables")
            match = re.search(r"\bp((?:\.\w+)+)", text)
            parts = match.group(1).strip(".").split(".") if match else []
            for n in range(len(parts), 0, -1):
                if _holds(self.of.block, parts[:n]):
                    return (*self.of.path, *parts[:n])
        return self.of.path


def _holds(block: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if not isinstance(block, Mapping) or part not in block:
            return False
        block = block[part]
    return True


def text_of(value: Any) -> Text:
    """Return the value as Connect stores it: texts, lower-case booleans, lists joined by commas."""
    if isinstance(value, Secret):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(str(text_of(each)) for each in value)
    return str(value)


def plain(config: Mapping[str, Text]) -> dict[str, str]:
    """Return the settings that may be in a topic's name: those that are no secret, and no list of a thousand tables."""
    return {key: value for key, value in config.items() if isinstance(value, str) and len(value) <= LONGEST}

"""What connectors, and the topics of their tables, get unless they say otherwise.

A connector has the settings of its block, beneath them those of the class that it names, and beneath these those of
`defaults.connector`. Of a map each key counts for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from kplan.diagnostics import codes, warning
from kplan.kinds.classes import KEY_OF_CLASS, find_class
from kplan.kinds.connector.block import ConnectorBlock, SharedSettings
from kplan.kinds.connector.shorthands import SHORTHANDS, list_settings
from kplan.kinds.connector.tables import Table, matches, problem_of
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.topic.settings import Layer, layer
from kplan.language.template import is_template
from kplan.patterns import late_pattern
from kplan.values import dataclass

SECTION, PART = "defaults", "connector"
CLASSES: Final = "connector_classes"
CLASS_NAME: Final = late_pattern(r"[a-z0-9][a-z0-9_-]*")  # no Java class and no alias of one is written like this
JAVA_CLASS: Final = "; a Java class has a dot or begins with a capital letter"
INHERITED = frozenset(
    ("on", "restart", "restart_failed", "on_delete", "new_tables", "schemas", "template_defaults", "defaults")
    + ("team", "labels", "ignore", "config")
    + SHORTHANDS
)  # of a block, in addition to the parameters of its template


@dataclass(slots=True)
class Inheritance:
    """What the connectors of one stack inherit; `taken` are the keys of each source that some connector can have."""

    context: ExpansionContext
    places: dict[str | int, list[KEY]] = field(default_factory=dict)  # of what a block inherits, by the block's key
    sources: dict[KEY, SharedSettings] = field(default_factory=dict)
    taken: dict[KEY, set[str]] = field(default_factory=dict)

    @classmethod
    def create(cls, context: ExpansionContext) -> Inheritance:
        """Create it for a stack, whose document names the places of what is inherited from here on."""
        inheritance = cls(context)
        if context.document.data.get(CLASSES) or (context.document.data.get(SECTION) or {}).get(PART):
            context.document = context.document.with_other_places("connectors", inheritance.places)
        return inheritance

    def apply(self, block: ConnectorBlock) -> bool:
        """Put under the block what it inherits of the keys that it can have; False where its class is unknown."""
        shared = self._find_class(block)
        if shared is None:
            return False
        defaults = (self.context.document.data.get(SECTION) or {}).get(PART) or {}
        if defaults:
            shared.append(SharedSettings("stack defaults", (SECTION, PART), defaults))
        known = INHERITED | (block.template.parameters.get("properties") or {}).keys()
        for each in shared:
            self.sources[each.path] = each
            self.taken.setdefault(each.path, set()).update(known)
            block.block = fill_block(block.block, each.data, known)
        self.places[block.path[1]] = [each.path for each in shared]
        block.beneath = tuple(shared)
        return True

    def _find_class(self, block: ConnectorBlock) -> list[SharedSettings] | None:
        """Return the class that the block names, and take its name out: it is none of Java; None for an unknown one."""
        if KEY_OF_CLASS not in block.block:
            return []
        value = self.context.value(block.block[KEY_OF_CLASS], (*block.path, KEY_OF_CLASS), block.scope)
        name = str(value or "")
        if not CLASS_NAME.fullmatch(name):
            return []
        written = find_class(self.context, CLASSES, name, block.path, JAVA_CLASS)
        if written is None:
            return None
        block.block = {key: value for key, value in block.block.items() if key != KEY_OF_CLASS}
        return [SharedSettings(f"class {name}", (CLASSES, name), written)]

    def report_unused_keys(self) -> None:
        """Report each inherited key that no connector which inherits it can take."""
        for path, source in self.sources.items():
            for key in source.data.keys() - self.taken[path]:
                detail = f"{key}: it is neither a connector's key nor a parameter of a template that inherits it"
                summary = f"unknown key of `{'.'.join(map(str, path))}`"
                help = "write a raw Connect property under `config:`"
                self.context.report(codes.K206, summary, detail, (*path, key), help, key=True)


def fill_block(block: Mapping[str, Any], shared: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the block with those shared settings that are `known`; of a map each key counts for itself."""
    return _merge(_remove_said({key: value for key, value in shared.items() if key in known}, block), block)


def _remove_said(shared: Mapping[str, Any], block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shared settings without those that the block says in another form: under `config:`, or as a map."""
    rest = dict(shared)
    if rest.get("config"):
        said = {setting.key for setting in list_settings(block)}
        rest["config"] = {key: value for key, value in rest["config"].items() if key not in said}
    config = block.get("config") or {}
    for setting in list_settings(shared):
        if setting.key in config:
            rest = _remove_at(rest, setting.path)
    return rest


def _remove_at(data: Mapping[str, Any], path: KEY) -> dict[str, Any]:
    """Return the map without the setting at a path that it has."""
    first, *below = path
    rest = {key: value for key, value in data.items() if key != first}
    return {**rest, str(first): _remove_at(data[str(first)], tuple(below))} if below else rest


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], Mapping) and isinstance(over[key], Mapping):
            merged[key] = _merge(under[key], over[key])
    return merged


class TableDefaults:
    """The layers that a connector's `defaults:` puts under what its tables say of their topics."""

    def __init__(self, block: ConnectorBlock, own: Mapping[str, Any]) -> None:
        self._block = block
        self._path: KEY = (*block.path, SECTION)
        rendered, written = own.get(SECTION) or {}, block.block.get(SECTION) or {}
        self._common = self._read_layer(rendered.get("topic") or {}, written.get("topic") or {}, ("topic",))
        self._of_tables = {
            str(pattern): self._read_layer(
                settings or {}, (written.get("tables") or {}).get(pattern) or {}, ("tables", str(pattern))
            )
            for pattern, settings in (rendered.get("tables") or {}).items()
        }
        self._unmatched = dict.fromkeys(self._of_tables)

    def _read_layer(self, settings: Mapping[str, Any], written: Mapping[str, Any], at: KEY) -> Layer:
        spans = self._block.expansion.spans((*self._path, *at), written)
        return layer(settings, "connector defaults", spans)

    def list_layers(self, table: Table | None = None) -> Iterator[Layer]:
        """Yield the layers of a table's topic; without a table those of every topic of the connector."""
        yield self._common
        for pattern, settings in self._of_tables.items() if table else ():
            if table and any(matches(pattern, name) for name in (table.written, table.name, table.include)):
                self._unmatched.pop(pattern, None)
                yield settings

    def report_unmatched(self) -> None:
        """Report patterns that are wrong, and those that match no table."""
        for pattern in self._unmatched:
            at = (*self._path, "tables", pattern)
            if is_template(pattern):
                continue
            if wrong := problem_of(pattern):
                self._block.report_bad_pattern(pattern, wrong, at)
                continue
            help = "a pattern is matched with a table's whole name: `audit_.*`, or with its schema `public.audit_.*`"
            span = self._block.expansion.document.key_at(*at)
            detail = f"{pattern}, of connector/{self._block.full_name}"
            self._block.expansion.problems.append(
                warning(codes.K258, "defaults that no table takes", detail, help=help, span=span)
            )

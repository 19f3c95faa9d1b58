"""What connectors, and the topics of their tables, get unless they say otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplan.diagnostics import codes, warning
from kplan.kinds.connector.block import ConnectorBlock
from kplan.kinds.connector.shorthands import SHORTHANDS
from kplan.kinds.connector.tables import Table, matches, problem_of
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.topic.settings import Layer, layer
from kplan.language.template import is_template

SECTION, PART = "defaults", "connector"
INHERITED = frozenset(
    ("on", "restart", "restart_failed", "on_delete", "new_tables", "schemas", "template_defaults", "defaults")
    + ("team", "labels", "ignore", "config")
    + SHORTHANDS
)  # of a block, in addition to the parameters of its template


def read_defaults(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the stack's `defaults.connector` says."""
    defaults: Mapping[str, Any] = (data.get(SECTION) or {}).get(PART) or {}
    return defaults


def fill_block(block: Mapping[str, Any], defaults: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the block with those defaults that are `known`; of a map each key counts for itself."""
    return _merge({key: value for key, value in defaults.items() if key in known}, block)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], Mapping) and isinstance(over[key], Mapping):
            merged[key] = _merge(under[key], over[key])
    return merged


def report_unused_keys(context: ExpansionContext, defaults: Mapping[str, Any], used: set[str]) -> None:
    """Report each key of `defaults.connector` that no connector of the stack can take."""
    for key in defaults:
        if key not in used:
            detail = f"{key}: it is neither a connector's key nor a parameter of a template that the stack uses"
            help = "write a raw Connect property under `config:`"
            path: KEY = (SECTION, PART, key)
            context.report(codes.K206, "unknown key of `defaults.connector`", detail, path, help, key=True)


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

"""Connectors in stack files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kplan.diagnostics import Diagnostic
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.language import Language
from kplan.kinds.topic.language import TOPIC_KEYS
from kplan.model import Connector, Resource

if TYPE_CHECKING:
    from kplan.kinds.acl.rights import Right
    from kplan.kinds.connector.defaults import Inheritance

DEFAULTS = ("defaults", "connector")  # the place of what connectors get unless they say otherwise
CONNECTOR_KEYS = ("description", "template", "class", "for_each", "name", "client", "topic_prefix", "database",
                  "server_id", "slot", "publication", "…", "tables", "topics", "snapshot", "state", "restart",
                  "restart_failed", "new_tables", "on_delete", "dead_letter", "defaults", "template_defaults",
                  "converters", "transforms", "predicates", "config", "protect", "ignore",
                  "accept")  # fmt: skip


class ConnectorLanguage(Language):
    removal_words = ("connector",)
    removal_keys = ("keep_offsets", "drop")
    key_order = {
        "stack": {
            ("connectors", "*"): CONNECTOR_KEYS,
            ("connectors", "*", "database"): ("hostname", "port", "name", "user", "password"),
            ("connectors", "*", "tables", "*"): TOPIC_KEYS,
            ("connectors", "*", "topics", "*"): TOPIC_KEYS,
            ("connectors", "*", "dead_letter"): TOPIC_KEYS,
            ("connectors", "*", "defaults", "topic"): TOPIC_KEYS,
            ("connectors", "*", "defaults", "tables", "*"): TOPIC_KEYS,
            DEFAULTS: CONNECTOR_KEYS,
            ("connector_classes", "*"): CONNECTOR_KEYS,
            ("connector_classes", "*", "database"): ("hostname", "port", "name", "user", "password"),
        },
    }

    def expand(self, context: ExpansionContext) -> None:
        connectors = context.document.data.get("connectors") or {}
        if not connectors:
            return
        from kplan.kinds.connector.defaults import Inheritance

        inheritance = Inheritance.create(context)
        for key in connectors:
            _expand_block(context, key, inheritance)
        inheritance.report_unused_keys()

    def find_rights(self, resource: Resource, context: ExpansionContext) -> Iterable[Right]:
        from kplan.kinds.connector import access

        assert isinstance(resource, Connector)
        return access.find_rights(resource, context)

    def check(self, context: ExpansionContext) -> Iterator[Diagnostic]:
        if not context.document.data.get("connectors"):
            return
        from kplan.kinds.connector import ineffective, sinks
        from kplan.kinds.connector.debezium import drops, incremental

        yield from sinks.warn_of_unfed(context.resources)
        yield from ineffective.problems(context.resources, context.internal)
        yield from incremental.problems(context.resources.values())
        yield from drops.problems(context.resources.values())


def _expand_block(context: ExpansionContext, key: str, inheritance: Inheritance) -> None:
    """Declare what the block makes."""
    from kplan.kinds.connector.expansion import ConnectorBuilder

    path: KEY = ("connectors", key)
    block = context.document.data["connectors"][key] or {}
    for scope in context.scopes(block, path, key, block.get("name"), block.get("client")):
        ConnectorBuilder(context, path, block, scope).build(inheritance)

"""Connectors and the options of their changes as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.kinds.base import Encoding
from kplan.kinds.connector.options import ConnectorOptions
from kplan.model import ChangeOptions, Connector, Origin, Rules, frozen
from kplan.model.codec import config_from_json, config_to_json
from kplan.model.fields import Json, drop_empty, read_flag, read_text, read_texts

CLASS = "connector.class"


class ConnectorEncoding(Encoding[Connector]):
    """`{class, config, state, feeds, reads, unique, heartbeat}`; a class that is no plain text stays in the config."""

    def encode(self, connector: Connector) -> Json:
        java_class = connector.config.get(CLASS)
        own_key = {"class": java_class} if isinstance(java_class, str) else {}
        return {
            "config": config_to_json({k: v for k, v in connector.config.items() if k != CLASS or not own_key}),
            "state": connector.state,
            **own_key,
            **drop_empty({
                "feeds": list(connector.feeds),
                "reads": list(connector.reads),
                "unique": list(connector.unique),
                "heartbeat": connector.heartbeat,
            }),
        }  # fmt: skip

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Connector:
        config = config_from_json(fields.get("config", {}))
        if "class" in fields:
            config[CLASS] = read_text(fields, "class")
        return Connector(
            name,
            frozen(config),
            read_text(fields, "state", "running"),
            feeds=read_texts(fields, "feeds"),
            reads=read_texts(fields, "reads"),
            unique=read_texts(fields, "unique"),
            heartbeat=read_text(fields, "heartbeat"),
            origin=origin,
            rules=rules,
        )

    def describe(self, connector: Connector) -> Mapping[str, Any]:
        return {
            "name": connector.name,
            "class": connector.java_class,
            "state": connector.state,
            "config": connector.config,
        }

    def encode_options(self, options: ChangeOptions) -> Json:
        if not isinstance(options, ConnectorOptions):
            return {}
        return drop_empty({
            "keep_offsets": options.keep_offsets,
            "restart": options.restart,
            "snapshots": list(options.snapshots),
            "drops": list(options.drops),
        })  # fmt: skip

    def decode_options(self, fields: Mapping[str, Any], common: ChangeOptions) -> ChangeOptions:
        return ConnectorOptions(
            common.effects,
            common.verified,
            keep_offsets=read_flag(fields, "keep_offsets"),
            restart=read_flag(fields, "restart"),
            snapshots=read_texts(fields, "snapshots"),
            drops=read_texts(fields, "drops"),
        )

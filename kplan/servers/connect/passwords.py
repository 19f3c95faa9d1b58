"""Which settings of a connector are passwords: those that its plugin, or a plugin inside it, declares as such."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from kplan.diagnostics import KplanError, Timeout, Unreachable
from kplan.model import Config, Connector
from kplan.servers.connect.rest import plugin_path
from kplan.servers.rest import Rest

CHAINS = ("transforms", "predicates")
CONVERTERS = ("key.converter", "value.converter", "header.converter")
Declared = Callable[[str], frozenset[str] | None]


def create_lookup(rest: Rest) -> Declared:
    """Return a function that lists a class's passwords (KIP-769), requested once each; None where no worker knows."""

    @cache
    def list_passwords(java_class: str) -> frozenset[str] | None:
        try:
            listed = rest.send_once("GET", plugin_path(java_class, "config"))
        except (Unreachable, Timeout):
            raise
        except KplanError:
            return None
        return frozenset(str(item["name"]) for item in listed or () if item.get("type") == "PASSWORD")

    return list_passwords


def passwords_of(connector: Connector, declared: Declared) -> frozenset[str] | None:
    """Return the connector's settings that are passwords; None where its own plugin is not known.

    All settings of a transformation or converter whose class is not known count as passwords.
    """
    own = declared(connector.java_class) if connector.java_class else None
    if own is None:
        return None
    keys = set(own)
    for prefix, java_class in _list_plugins(connector.config):
        declared_keys = declared(java_class)
        settings = {key for key in connector.config if key.startswith(prefix)} - {f"{prefix}type"}
        keys |= settings if declared_keys is None else {f"{prefix}{key}" for key in declared_keys}
    return frozenset(keys)


def _list_plugins(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the prefix of the settings and the class of each transformation, predicate and converter."""
    for chain in CHAINS:
        for alias in filter(None, map(str.strip, str(config.get(chain, "")).split(","))):
            yield f"{chain}.{alias}.", str(config.get(f"{chain}.{alias}.type", ""))
    for converter in CONVERTERS:
        if converter in config:
            yield f"{converter}.", str(config[converter])

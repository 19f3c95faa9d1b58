"""Which settings of a connector are passwords: those that its plugin, or one plugged into it, declares as such."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from kplan.diagnostics import KplanError, Timeout, Unreachable
from kplan.model import Config, Connector
from kplan.servers.connect.rest import Rest, plugin_path

CHAINS = ("transforms", "predicates")
CONVERTERS = ("key.converter", "value.converter", "header.converter")
Declared = Callable[[str], frozenset[str] | None]


def declared_by(rest: Rest) -> Declared:
    """The passwords among the settings of a class (KIP-769), asked for once each; None where no worker can tell."""

    @cache
    def passwords(java_class: str) -> frozenset[str] | None:
        try:
            listed = rest.once("GET", plugin_path(java_class, "config"))
        except (Unreachable, Timeout):
            raise
        except KplanError:
            return None
        return frozenset(str(item["name"]) for item in listed or () if item.get("type") == "PASSWORD")

    return passwords


def passwords_of(connector: Connector, declared: Declared) -> frozenset[str] | None:
    """The settings of the connector that are passwords; None where its own plugin is not known.

    All that is set for a transformation or converter whose class is not known counts as one.
    """
    own = declared(connector.java_class) if connector.java_class else None
    if own is None:
        return None
    found = set(own)
    for prefix, java_class in _plugged_in(connector.config):
        inner = declared(java_class)
        below = {key for key in connector.config if key.startswith(prefix)} - {f"{prefix}type"}
        found |= below if inner is None else {f"{prefix}{key}" for key in inner}
    return frozenset(found)


def _plugged_in(config: Config) -> Iterator[tuple[str, str]]:
    """The prefix of the settings and the class of each transformation, predicate and converter."""
    for chain in CHAINS:
        for alias in filter(None, map(str.strip, str(config.get(chain, "")).split(","))):
            yield f"{chain}.{alias}.", str(config.get(f"{chain}.{alias}.type", ""))
    for converter in CONVERTERS:
        if converter in config:
            yield f"{converter}.", str(config[converter])

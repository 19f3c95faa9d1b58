"""Names of connectors where an environment has several Connect clusters.

A connector of the default one has its own name. One of another has that one's alias before it: `sinks/orders`. Connect
itself knows only the last part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kplan.model import Address, Connector, Owned
from kplan.patterns import late_pattern

NAME_CHARACTERS: Final = "a-z A-Z 0-9 . _ - >"  # MirrorMaker's own have an arrow: `east->west.MirrorSourceConnector`
CONNECTOR_NAME: Final = late_pattern(r"[A-Za-z0-9._>-]{1,249}\Z")
DEFAULT = "default"  # the alias of the Connect that is meant where none is named


def qualify(alias: str, name: str) -> str:
    """Return the name that the address of a connector has."""
    return f"{alias}/{name}" if alias not in ("", DEFAULT) else name


def alias_of(name: str) -> str:
    """Return the alias of the Connect that a name says; empty for the default one."""
    return name.rpartition("/")[0]


def local_name(name: str) -> str:
    """Return the name that Connect knows."""
    return name.rpartition("/")[2]


def rename_connect(owned: Owned, alias: str) -> Owned:
    """Return the ledger's record of a connector whose Connect has another alias from now on."""
    name = qualify(alias, local_name(owned.address.name))
    applied = replace(owned.applied, name=name) if isinstance(owned.applied, Connector) else owned.applied
    return replace(owned, address=Address(Connector.kind, name), applied=applied)


def name_in_connect(connector: Connector) -> str:
    """Return the name that Connect knows the connector by."""
    return local_name(connector.name)

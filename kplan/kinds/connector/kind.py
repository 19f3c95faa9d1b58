"""Connectors, as a kind of resource."""

from __future__ import annotations

from dataclasses import dataclass

from kplan.kinds.connector.comparison import ConnectorComparison
from kplan.kinds.connector.consequences import ConnectorConsequences
from kplan.kinds.connector.encoding import ConnectorEncoding


@dataclass(frozen=True, slots=True)
class ConnectorKind:
    """The kind `connector`."""

    name: str = "connector"
    encoding: ConnectorEncoding = ConnectorEncoding()
    comparison: ConnectorComparison = ConnectorComparison()
    consequences: ConnectorConsequences = ConnectorConsequences()


CONNECTOR = ConnectorKind()

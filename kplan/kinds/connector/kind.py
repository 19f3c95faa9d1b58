"""Connectors, as a kind of resource."""

from __future__ import annotations

from dataclasses import dataclass

from kplan.kinds.connector.comparison import ConnectorComparison
from kplan.kinds.connector.consequences import ConnectorConsequences
from kplan.kinds.connector.encoding import ConnectorEncoding
from kplan.text import CONTROL_CHARACTERS


@dataclass(frozen=True, slots=True)
class ConnectorKind:
    """The kind `connector`."""

    name: str = "connector"
    encoding: ConnectorEncoding = ConnectorEncoding()
    comparison: ConnectorComparison = ConnectorComparison()
    consequences: ConnectorConsequences = ConnectorConsequences()
    holds_secrets: bool = True
    reads_databases: bool = True
    move_refusal: tuple[str, str] | None = None

    def check_name(self, name: str) -> str:
        return "it has control characters" if CONTROL_CHARACTERS.search(name) else ""


CONNECTOR = ConnectorKind()

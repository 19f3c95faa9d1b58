"""The connectors among resources of all kinds, for what concerns connectors alone."""

from __future__ import annotations

from collections.abc import Iterable

from kplan.model import Connector, Resource, Stack


def select_connectors(resources: Iterable[Resource]) -> list[Connector]:
    """Return the connectors in the order in which they come."""
    return [resource for resource in resources if isinstance(resource, Connector)]


def find_connectors(stacks: Iterable[Stack]) -> list[Connector]:
    """Return the connectors that the stacks declare."""
    return select_connectors(resource for stack in stacks for resource in stack.resources.values())

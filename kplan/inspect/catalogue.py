"""Collect what a catalogue says of each resource that the stacks declare: owner, settings, neighbours, access."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from kplan.inspect.lineage import TABLE, build_graph
from kplan.kinds.registry import KINDS
from kplan.model import Address, Resource, Stack
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One resource, or a table that feeds one: `fields` is its encoding, without secrets; `place` is FILE:LINE.

    `sources` name where each attribute comes from; `fed_by`, `feeds` and `related` are addresses.
    """

    address: str
    kind: str
    name: str
    stack: str = ""
    team: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    place: tuple[str, int] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    fed_by: Sequence[str] = ()
    feeds: Sequence[str] = ()
    related: Sequence[str] = ()
    text: str = ""  # of a schema


def list_entries(stacks: Sequence[Stack]) -> list[CatalogueEntry]:
    """Return everything that the stacks declare, and the tables and topics that it is connected with, by kind."""
    graph = build_graph(stacks)
    fed_by: dict[str, list[str]] = defaultdict(list)
    feeds: dict[str, list[str]] = defaultdict(list)
    for source, target in graph.flows:
        fed_by[target].append(source)
        feeds[source].append(target)
    declared = {str(a): (stack, a, each) for stack in stacks for a, each in stack.resources.items()}
    related = _find_related([(a, each) for _, a, each in declared.values()])
    entries = [
        CatalogueEntry(
            text,
            address.kind,
            address.name,
            stack.name,
            resource.rules.team,
            dict(sorted(resource.rules.labels.items())),
            resource.rules.description,
            (resource.origin.span.path, resource.origin.span.line) if resource.origin.span else None,
            KINDS[address.kind].encoding.encode(resource),
            resource.origin.sources,
            fed_by.get(text, ()),
            feeds.get(text, ()),
            sorted(related.get(text, ())),
            "\n\n".join(KINDS[address.kind].encoding.find_contents(resource).values()),
        )
        for text, (stack, address, resource) in declared.items()
    ]
    others = [node for node in graph.nodes if node.id not in declared]
    entries += [
        CatalogueEntry(node.id, node.kind, node.name, fed_by=fed_by.get(node.id, ()), feeds=feeds.get(node.id, ()))
        for node in others
    ]
    ranks = {kind: rank for rank, kind in enumerate([*KINDS, TABLE])}
    return sorted(entries, key=lambda entry: (ranks[entry.kind], entry.address))


def _find_related(resources: Sequence[tuple[Address, Resource]]) -> dict[str, set[str]]:
    """Return which resources are about each other, both ways: bindings, users and quotas, subjects and topics."""
    related: dict[str, set[str]] = defaultdict(set)
    by_kind: dict[str, dict[str, tuple[Address, Resource]]] = defaultdict(dict)
    for address, resource in resources:
        by_kind[address.kind][address.name] = address, resource
    for address, resource in resources:
        for other in _list_related(address, resource, by_kind):
            related[str(address)].add(str(other))
            related[str(other)].add(str(address))
    return related


def _list_related(
    address: Address, resource: Resource, by_kind: Mapping[str, Mapping[str, tuple[Address, Resource]]]
) -> Iterator[Address]:
    principals = set(KINDS[address.kind].views.find_principals(resource))
    for kind, members in by_kind.items():
        views = KINDS[kind].views
        if kind == address.kind:
            continue
        names: Iterable[str] | None = views.list_related_names(address)
        for name in members if names is None else names:
            if name in members and views.is_related(members[name][1], address, principals):
                principals |= set(views.find_principals(members[name][1]))
                yield members[name][0]

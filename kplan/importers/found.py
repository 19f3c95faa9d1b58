"""What an import has found: topics and connectors, whatever they were read from, and what was left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kplan.diagnostics import Span
from kplan.model import REFERENCE, Connector, Secret, Text, Topic, conceal

MOST_NAMED: Final = 8  # in one note


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the stack does not say, or says in another way, and why; it holds no secret."""

    text: str
    span: Span | None = None

    def __str__(self) -> str:
        place = f"{self.span.path}:{self.span.line}: " if self.span and self.span.line else ""
        return f"{place or (f'{self.span.path}: ' if self.span else '')}{self.text}"


@dataclass(slots=True)
class Found:
    """Topics and connectors by name, in the order in which they were found."""

    topics: dict[str, Topic] = field(default_factory=dict)
    connectors: dict[str, Connector] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    homes: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # kind of cluster, its name, what is there

    def belongs(self, kind: str, cluster: object, name: str) -> None:
        """`name` is in that cluster, where the file says so; one stack is about one cluster of a kind."""
        if cluster:
            self.homes.setdefault(kind, {}).setdefault(str(cluster), []).append(name)

    def settle(self) -> None:
        """Notes what was in several clusters and is in one stack now."""
        for kind, clusters in self.homes.items():
            if len(clusters) > 1:
                each = "; ".join(f"{name}: {few(names)}" for name, names in clusters.items())
                self.note(
                    f"one stack is about one {kind}, and this is of {len(clusters)}: give a GLOB for each ({each})"
                )
        self.homes = {}

    def note(self, text: str, span: Span | None = None) -> None:
        self.notes.append(Note(text, span))

    def add(self, resource: Topic | Connector, span: Span | None = None) -> None:
        """The resource is found; of two with one name the first counts, which is noted."""
        known: dict[str, Topic] | dict[str, Connector] = self.topics if isinstance(resource, Topic) else self.connectors
        if resource.name in known:
            self.note(f"{resource.address} is there twice: the first one counts", span)
        elif isinstance(resource, Topic):
            self.topics[resource.name] = replace(resource, origin=replace(resource.origin, span=span))
        else:
            self.connectors[resource.name] = replace(resource, origin=replace(resource.origin, span=span))

    @property
    def resources(self) -> tuple[Topic | Connector, ...]:
        return (*self.topics.values(), *self.connectors.values())

    def take(self, other: Found) -> None:
        """All that `other` has found is found here too."""
        self.notes += other.notes
        for kind, clusters in other.homes.items():
            for cluster, names in clusters.items():
                self.homes.setdefault(kind, {}).setdefault(cluster, []).extend(names)
        for resource in other.resources:
            self.add(resource, resource.origin.span)


def concealed(config: Mapping[str, str], sensitive: Iterable[str] = ()) -> dict[str, Text]:
    """The settings with what is secret as Secrets, and those named in `sensitive` whatever they look like."""
    hidden = frozenset(sensitive)
    return {
        key: Secret(value=value) if key in hidden and REFERENCE.sub("", value).strip() else conceal(key, value)
        for key, value in config.items()
        if key != "name"
    }

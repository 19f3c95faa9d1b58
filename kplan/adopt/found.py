"""What an import has found: topics and connectors, whatever they were read from, and what was left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kplan.diagnostics import Span
from kplan.model import REFERENCE, Connector, Secret, Text, Topic, conceal


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

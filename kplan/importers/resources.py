"""What an import has read: resources from any source, and notes about what is not carried over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Final

from kplan.diagnostics import Span
from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.quota.quota import Quota
from kplan.kinds.subject.subject import Subject
from kplan.kinds.user.user import ScramUser
from kplan.model import REFERENCE, Connector, Resource, Secret, Text, Topic, conceal
from kplan.values import dataclass

MAX_NAMES_IN_NOTE: Final = 8  # in one note


def shorten_names(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = f" and {len(names) - MAX_NAMES_IN_NOTE} more" if len(names) > MAX_NAMES_IN_NOTE else ""
    return ", ".join(names[:MAX_NAMES_IN_NOTE]) + rest


@dataclass(frozen=True, slots=True)
class Note:
    """A text about what the stack does not declare, or declares in another way, and why; it holds no secret."""

    text: str
    span: Span | None = None

    def __str__(self) -> str:
        place = f"{self.span.path}:{self.span.line}: " if self.span and self.span.line else ""
        return f"{place or (f'{self.span.path}: ' if self.span else '')}{self.text}"


@dataclass(slots=True)
class ImportedResources:
    """Resources of each kind by name, in the order in which they were read."""

    topics: dict[str, Topic] = field(default_factory=dict)
    connectors: dict[str, Connector] = field(default_factory=dict)
    users: dict[str, ScramUser] = field(default_factory=dict)
    bindings: dict[str, AclBinding] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    clusters: dict[str, dict[str, list[str]]] = field(
        default_factory=dict
    )  # kind of cluster, its name, the names of its resources

    loops: list[Mapping[str, str]] = field(default_factory=list)  # of each `for_each`: names of topics by key or value

    def add_to_cluster(self, kind: str, cluster: object, name: str) -> None:
        """Record the cluster of `name`, where the file has it; one stack is about one cluster of a kind."""
        if cluster:
            self.clusters.setdefault(kind, {}).setdefault(str(cluster), []).append(name)

    def note_clusters(self) -> None:
        """Note resources of several clusters, which are in one stack now."""
        for kind, clusters in self.clusters.items():
            if len(clusters) > 1:
                groups = "; ".join(f"{name}: {shorten_names(names)}" for name, names in clusters.items())
                self.note(
                    f"one stack is about one {kind}, and this is of {len(clusters)}: give a GLOB for each ({groups})"
                )
        self.clusters = {}

    def note(self, text: str, span: Span | None = None) -> None:
        self.notes.append(Note(text, span))

    def add(self, resource: Resource, span: Span | None = None) -> None:
        """Add the resource; of two with one name the first counts, which is noted."""
        resources = self._by_kind[resource.kind]
        if resource.name in resources:
            self.note(f"{resource.address} is there twice: the first one counts", span)
        else:
            resources[resource.name] = replace(resource, origin=replace(resource.origin, span=span))

    @property
    def _by_kind(self) -> Mapping[str, dict[str, Any]]:
        return {
            Topic.kind: self.topics,
            Connector.kind: self.connectors,
            ScramUser.kind: self.users,
            AclBinding.kind: self.bindings,
            Quota.kind: self.quotas,
            Subject.kind: self.subjects,
        }

    @property
    def resources(self) -> tuple[Resource, ...]:
        return tuple(resource for resources in self._by_kind.values() for resource in resources.values())

    def merge(self, other: ImportedResources) -> None:
        """Add all that `other` holds."""
        self.notes += other.notes
        for kind, clusters in other.clusters.items():
            for cluster, names in clusters.items():
                self.clusters.setdefault(kind, {}).setdefault(cluster, []).extend(names)
        self.loops += other.loops
        for resource in other.resources:
            self.add(resource, resource.origin.span)


def conceal_secrets(config: Mapping[str, str], sensitive: Iterable[str] = ()) -> dict[str, Text]:
    """Return the settings with secret values as Secrets, and those named in `sensitive` too."""
    sensitive_keys = frozenset(sensitive)
    return {
        key: Secret(value=value) if key in sensitive_keys and REFERENCE.sub("", value).strip() else conceal(key, value)
        for key, value in config.items()
        if key != "name"
    }

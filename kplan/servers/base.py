"""What a backend does. Every call takes many resources, because requests are batched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, cast

from kplan.diagnostics import Diagnostic, KplanError
from kplan.kinds.registry import KINDS
from kplan.kinds.topic.placement import Placement
from kplan.model import Address, Change, Facts, Health, Live, Resource, Target
from kplan.model.forecast import StorageState
from kplan.model.masks import Mask
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.kinds.subject.proposals import Proposal, Ruling
    from kplan.servers.databases.base import Databases

Progress = Callable[[Address, str], None]  # "config accepted, waiting for RUNNING"
ReportProgress = Callable[[str, int, int], None]  # "topics read", done, total


def ignore_progress(what: str, done: int, total: int) -> None:
    """Ignore how far the work is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one change. No `error`: it was made. An EXPECTED error is success and never appears here.

    An error with `applied is None` may have taken effect; live state decides. `kept` is the reason why a
    conditional undo (delete while empty) left the resource. `unsure`: a request may still be on its way. `accepted`: a
    server accepted it, but it did not reach the declared state. `adopted`: another client created it meanwhile, exactly
    as declared. `waits`: it is made once other changes of the run have brought what it needs (`DeferringBackend`).
    """

    error: KplanError | None = None
    note: str = ""
    kept: str = ""
    unsure: bool = False
    accepted: bool = False
    adopted: bool = False
    waits: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None and not self.kept

    @property
    def reason(self) -> str:
        """Return why the change was not made, in one line."""
        return " ".join((self.kept or (self.error.message if self.error else "")).split())


@dataclass(frozen=True, slots=True)
class BackendState:
    """What one backend read. `resources` and `health` are of those that were requested.

    `names` are all that exist; of a kind that is read by name they may be those of the requested ones that exist.
    `refused` has, for what is hidden, the reason and the remedy. `unknown` counts what is there and cannot be named:
    this kplan, or its client, does not know the type of it. `operations` is what this user may do on the cluster,
    and `allows_by_default` whether everybody may use what has no binding; None where that was not asked, or not told.
    `unread` says why one of several servers could not be read, by its alias: names that begin with it are not known.
    """

    resources: Mapping[Address, Resource] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    hidden: frozenset[Address] = frozenset()
    health: Mapping[Address, Health] = field(default_factory=dict)
    refused: Mapping[Address, KplanError] = field(default_factory=dict)
    operations: frozenset[str] | None = None
    allows_by_default: bool | None = None
    unknown: int = 0
    unread: Mapping[str, KplanError] = field(default_factory=dict)


KAFKA, CONNECT, REGISTRY = "kafka", "connect", "registry"  # the names of an environment's servers, one of each


def needs_connect(addresses: Iterable[Address]) -> bool:
    """Return whether one of the resources is on a Connect."""
    return any(KINDS[address.kind].server == CONNECT for address in addresses)


class Backend(Protocol):
    """One kind of resource on one server. `kind` is that of the addresses, `server` the name of the server."""

    kind: str
    server: str
    check_name: str  # how the server calls `check`: `validate_only`

    @property
    def retries(self) -> int:
        """Return how many requests were sent again so far."""

    def identify(self) -> Target:
        """Return who the server is. Raises Unreachable or Denied, with the server's own reason."""

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the live state of `names` (None: all). Absent ones are left out; hidden ones are listed as hidden."""

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """Read the ids of the named topics, where the server has them. A recreated topic gets another id."""

    def placement(self, names: Collection[str]) -> Placement:
        """Return the brokers of the named topics' replicas, and whether replicas can be moved."""

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return what the server would refuse, without changing anything. An empty sequence: checked and accepted.

        Changes that cannot be checked are left out. Diagnostics carry `path` (`/config/KEY`) where the server named it.
        """

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return what must be remembered before `changes` to undo them (connector offsets), as JSON."""

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Note what a run is about, and the topic of its state (empty: a file), before `act`.

        Changes that take from kplan's own user what it needs for these do not settle. Only bindings can take it.
        """

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Send the changes; each has its own outcome. Retries what is RETRIABLE and cannot have taken effect.

        For a `create` of a connector, `captured` may hold `offsets` that are put back before it starts.
        """

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until the servers show every change and keep it, or its time is up (an Outcome with an error)."""

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """Return what the named topics store and who reads them, in bounded time. Only topics have facts.

        What is not known is None, with the reason in `unknown`.
        """

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        """Return the consumer groups that have positions anywhere. Only the backend of topics knows."""

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """Return the settings that the server defines as passwords; without definitions a resource is left out."""

    def close(self) -> None: ...


class ComparingBackend(Backend, Protocol):
    """A backend whose server itself says whether it has a declared state."""

    def read_compared(self, names: Collection[str] | None, states: Collection[Resource]) -> BackendState:
        """Read as `read` does, and note in the live resources which of the `states` the server takes for theirs."""


class DeferringBackend(Backend, Protocol):
    """A backend that makes some changes only after others of the same run."""

    def complete(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Make what had to wait, at the end of a run; an outcome that still waits says why in its note."""


class StoringBackend(Backend, Protocol):
    """A backend whose server knows how much it stores."""

    def read_storage(self, names: Collection[str]) -> StorageState:
        """Return what the named topics store, and how many replicas each broker holds."""


class InheritingBackend(Backend, Protocol):
    """A backend whose server gives a resource what it does not set itself."""

    def read_inherited(self, name: str) -> Mapping[str, tuple[str, str]]:
        """Return settings that the resource inherits, each with its value and who sets it. Raises KplanError."""


class JudgingBackend(Backend, Protocol):
    """A backend whose server judges what others are going to make there."""

    def judge(self, proposals: Sequence[Proposal]) -> Mapping[str, Ruling]:
        """Return what the server will say of each proposal that it can judge, by subject."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An environment's servers, a backend for each kind on each of them, by kind and name of the server.

    `databases` are those that connectors read; None where kplan does not read them. `mask` has every secret that was
    read from the servers.
    """

    by_kind: Mapping[tuple[str, str], Backend]
    databases: Databases | None = None
    mask: Mask = field(default_factory=Mask)
    principal: str = ""  # kplan's own user, as brokers see it; empty where it is not known, or a super user
    internal_topics: frozenset[str] = frozenset()  # of Connect's workers, as kplan.yaml names them
    has_registry: bool = True  # whether the environment names a schema registry

    @classmethod
    def of(
        cls,
        *backends: Backend | None,
        databases: Databases | None = None,
        mask: Mask | None = None,
        principal: str = "",
        internal_topics: frozenset[str] = frozenset(),
        has_registry: bool = True,
    ) -> Cluster:
        """Return the cluster of these backends; None stands for a server that the environment does not have."""
        by_kind = {(backend.kind, backend.server): backend for backend in backends if backend is not None}
        return cls(by_kind, databases, Mask() if mask is None else mask, principal, internal_topics, has_registry)

    def find(self, address: Address) -> Backend | None:
        """Return the backend of a resource; None where the environment does not have its server."""
        return self.by_kind.get((address.kind, KINDS[address.kind].server))

    @property
    def topics(self) -> Backend:
        """Return the backend of topics, which every environment has."""
        return self.by_kind["topic", KAFKA]

    @property
    def connectors(self) -> Backend | None:
        """Return the backend of connectors on the environment's own Connect."""
        return self.by_kind.get(("connector", CONNECT))

    def read_passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """Return the settings that are passwords by the servers' own definitions."""
        passwords: dict[Address, Collection[str]] = {}
        for backend in self.backends:
            if own := [resource for resource in resources if resource.address.kind == backend.kind]:
                passwords |= backend.passwords(own)
        return passwords

    def read_ids(self, addresses: Collection[Address]) -> Mapping[Address, str]:
        """Return the ids of those resources that have one on their server."""
        ids: dict[Address, str] = {}
        for backend in self.backends:
            if names := [address.name for address in addresses if address.kind == backend.kind]:
                ids |= backend.read_ids(names)
        return ids

    def read_storage(self, names: Collection[str]) -> StorageState | None:
        """Return what topics store; None where this cluster stores nothing, such as a snapshot."""
        backend = self.topics
        return cast(StoringBackend, backend).read_storage(names) if hasattr(backend, "read_storage") else None

    def read_inherited(self, address: Address) -> Mapping[str, tuple[str, str]]:
        """Return the settings that a resource inherits from its server; empty where that is not known."""
        backend = self.find(address)
        if not hasattr(backend, "read_inherited"):
            return {}
        return cast(InheritingBackend, backend).read_inherited(address.name)

    @property
    def backends(self) -> tuple[Backend, ...]:
        return tuple(self.by_kind.values())

    @property
    def retries(self) -> int:
        return sum(backend.retries for backend in self.backends)

    def close(self) -> None:
        for backend in self.backends:
            backend.close()


__all__ = ["Backend", "BackendState", "Cluster", "Live", "Outcome", "Progress"]

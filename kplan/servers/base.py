"""What a backend does. Every call takes many, because requests are batched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kplan.diagnostics import Diagnostic, KplanError
from kplan.kinds.registry import KINDS
from kplan.kinds.topic.placement import Placement
from kplan.model import Address, Change, Facts, Health, Live, Resource, Target
from kplan.model.masks import Mask

if TYPE_CHECKING:
    from kplan.servers.databases.base import Databases

Progress = Callable[[Address, str], None]  # "config accepted, waiting for RUNNING"
Tell = Callable[[str, int, int], None]  # "topics read", so many of so many


def untold(what: str, done: int, total: int) -> None:
    """Nobody wants to know how far it is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change. No `error`: it is so. An EXPECTED error is success and never appears here.

    An error with `applied is None` may have taken effect; live state decides. `kept` says why an undo that is
    conditional (delete while empty) left the thing there. `unsure`: a request may still be on its way. `accepted`: a
    server took it, and it did not come to what it should. `adopted`: another client created it meanwhile, exactly as
    asked.
    """

    error: KplanError | None = None
    note: str = ""
    kept: str = ""
    unsure: bool = False
    accepted: bool = False
    adopted: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None and not self.kept

    @property
    def words(self) -> str:
        """Why it is not so, on one line."""
        return " ".join((self.kept or (self.error.message if self.error else "")).split())


@dataclass(frozen=True, slots=True)
class Reading:
    """What one backend saw. `names` are all there are; `resources` and `health` those that were asked for.

    `refused` says of what is hidden why it is, and the way out.
    """

    resources: Mapping[Address, Resource] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    hidden: frozenset[Address] = frozenset()
    health: Mapping[Address, Health] = field(default_factory=dict)
    refused: Mapping[Address, KplanError] = field(default_factory=dict)


KAFKA, CONNECT = "kafka", "connect"  # the servers of an environment that has one of each


def needs_connect(addresses: Iterable[Address]) -> bool:
    """Whether one of the resources is on a Connect."""
    return any(KINDS[address.kind].server == CONNECT for address in addresses)


class Backend(Protocol):
    """One kind of resource on one server. `kind` is that of the addresses, `server` the name of the server."""

    kind: str
    server: str
    check_name: str  # by which `check` is known: `validate_only`

    @property
    def retries(self) -> int:
        """How many requests were sent again so far."""

    def identify(self) -> Target:
        """Says who the server is. Raises Unreachable or Denied, with the server's own reason."""

    def read(self, names: Collection[str] | None) -> Reading:
        """The live state of `names` (None: all). Absent ones are left out; hidden ones are named as such."""

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """The ids of the named topics, where the server has them. One that is deleted and made again gets another."""

    def placement(self, names: Collection[str]) -> Placement:
        """On which brokers the replicas of the named topics are, and whether they can be moved."""

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """What the server would refuse, without changing anything. An empty sequence: checked and accepted.

        Changes that cannot be checked are left out. Diagnostics carry `path` (`/config/KEY`) where the server named it.
        """

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """What must be remembered before `changes` so that they can be undone (connector offsets), as JSON."""

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Sends the changes, each answered for itself. Retries what is RETRIABLE and cannot have taken effect.

        For a `create` of a connector, `captured` may hold `offsets` that are put back before it starts.
        """

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Returns once every change shows on the servers and holds, or its time is up (an Outcome with an error)."""

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """What is stored in and who reads the named topics, in bounded time. Only topics have facts.

        What is not known is None, with the reason in `unknown`.
        """

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        """Those of the consumer groups that have positions anywhere. Only the backend of topics knows."""

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """The settings that are passwords by the server's own definitions; what it has none of is left out."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Cluster:
    """An environment's servers, a backend for each kind on each of them, by kind and name of the server.

    `databases` are those that connectors read; None where they are not looked into. `mask` knows every secret that was
    read from the servers.
    """

    by_kind: Mapping[tuple[str, str], Backend]
    databases: Databases | None = None
    mask: Mask = field(default_factory=Mask)

    @classmethod
    def of(cls, *backends: Backend | None, databases: Databases | None = None, mask: Mask | None = None) -> Cluster:
        """Return the cluster of these backends; None stands for a server that the environment does not have."""
        by_kind = {(backend.kind, backend.server): backend for backend in backends if backend is not None}
        return cls(by_kind, databases, Mask() if mask is None else mask)

    def find(self, address: Address) -> Backend | None:
        """Return the backend of a resource; None where the environment does not have its server."""
        return self.by_kind.get((address.kind, KINDS[address.kind].server))

    @property
    def topics(self) -> Backend:
        """The backend of topics, which every environment has."""
        return self.by_kind["topic", KAFKA]

    @property
    def connectors(self) -> Backend | None:
        """The backend of connectors on the environment's own Connect."""
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

    @property
    def backends(self) -> tuple[Backend, ...]:
        return tuple(self.by_kind.values())

    @property
    def retries(self) -> int:
        return sum(backend.retries for backend in self.backends)

    def close(self) -> None:
        for backend in self.backends:
            backend.close()


__all__ = ["Backend", "Cluster", "Live", "Outcome", "Progress", "Reading"]

"""A cluster as a snapshot recorded it: only read, never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kplan.diagnostics import Diagnostic, KplanError, Unsupported
from kplan.kinds.registry import KINDS
from kplan.kinds.topic.placement import Placement
from kplan.model import Address, Change, Facts, Live, Resource, Target
from kplan.servers.base import BackendState, Outcome, Progress


class Recorded:
    """The resources of one kind that were live when the snapshot was taken."""

    check_name = ""  # nothing can be checked

    def __init__(self, kind: str, live: Live, unread: KplanError | None = None) -> None:
        """`unread` is raised by a reading where the snapshot has nothing of the kind."""
        self.kind = kind
        self._unread = unread
        self.server = KINDS[kind].server
        self._live = live

    @property
    def retries(self) -> int:
        return 0

    def identify(self) -> Target:
        return self._live.target

    def read(self, names: Collection[str] | None) -> BackendState:
        if self._unread is not None:
            raise self._unread
        wanted = None if names is None else set(names)
        resources = {
            a: r
            for a, r in self._live.resources.items()
            if a.kind == self.kind and (wanted is None or a.name in wanted)
        }
        health = {a: h for a, h in self._live.health.items() if a in resources}
        hidden = frozenset(a for a in self._live.hidden if a.kind == self.kind)
        names_of_kind = frozenset(a.name for a in self._live.resources if a.kind == self.kind)
        default = self._live.allows_by_default
        return BackendState(resources, names_of_kind, hidden, health, allows_by_default=default)

    def read_compared(self, names: Collection[str] | None, states: Collection[Resource]) -> BackendState:
        """Read as far as the states are about the resources; no server says which of them it takes for its own."""
        comparison = KINDS[self.kind].comparison
        read = self.read(names)
        by_address: dict[Address, list[Resource]] = {}
        for state in states:
            by_address.setdefault(state.address, []).append(state)
        seen = {a: comparison.view_as(live, by_address.get(a, [])) for a, live in read.resources.items()}
        return replace(read, resources={a: live for a, live in seen.items() if live is not None})

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """Return the ids that the snapshot has of these topics; an older snapshot has none."""
        wanted = set(names)
        return {a: id for a, id in self._live.ids.items() if a.kind == self.kind and a.name in wanted}

    def placement(self, names: Collection[str]) -> Placement:
        """Return an unknown placement: a snapshot does not record replicas."""
        return Placement()

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return nothing: there is no server to ask."""
        return {}

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """Return the recorded facts of these topics; the facts of the others are unknown."""
        wanted = set(names)
        return {a: facts for a, facts in self._live.facts.items() if a.name in wanted}

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Do nothing: no change of this kind takes a right of kplan's own user."""

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        """Return none: a snapshot holds the positions in those topics whose facts it has."""
        return frozenset()

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        return {}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        raise _read_only_error()

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        raise _read_only_error()

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        raise _read_only_error()

    def close(self) -> None: ...


def _read_only_error() -> Unsupported:
    return Unsupported("a snapshot is only read", help="apply to the environment itself")
